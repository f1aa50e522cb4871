import pytest
import torch
from torch import nn

from edgefool.classifiers.architectures import (
    build_shapes,
    count_classes,
    find_builder,
    image_size,
    published_preprocessing,
)
from edgefool.classifiers.preprocessing import IMAGENET, Preprocessing
from edgefool.classifiers.vision import torchvision
from edgefool.errors import UsageError


def test_every_number_of_classes_is_read_from_the_head():
    """The tensor with the number of classes is the output's, also beside auxiliary outputs."""
    for network in ("regnet_y_400mf", "googlenet", "densenet121", "vit_b_32", "convnext_tiny"):
        build = find_builder(f"torchvision:{network}")
        state = {
            "fc.weight": torch.ones(9, 1),
            "classifier.weight": torch.ones(9, 1),
            "classifier.2.bias": nn.Parameter(),
        }
        state |= {"fc.bias": torch.ones(9), "classifier.bias": torch.ones(9), "classifier.2.bias": torch.ones(9)}
        state |= {"heads.head.bias": torch.ones(9), "aux1.fc2.bias": torch.ones(5)}
        assert count_classes(build, state) == 9, network


def test_published_preprocessing():
    assert published_preprocessing("torchvision:resnet18") == IMAGENET
    half = (0.5, 0.5, 0.5)
    assert published_preprocessing("timm:vit_base_patch16_224.augreg_in21k") == Preprocessing(
        224, "bicubic", half, half
    )


@pytest.mark.parametrize(
    ("network", "size", "recipe"),
    [
        ("vit_h_14", 224, Preprocessing(224, "bicubic", IMAGENET.mean, IMAGENET.std)),
        ("vit_h_14", 518, Preprocessing(518, "bicubic", IMAGENET.mean, IMAGENET.std)),
        ("vit_b_16", 224, IMAGENET),
        ("vit_b_16", 384, Preprocessing(384, "bicubic", IMAGENET.mean, IMAGENET.std)),
        ("vit_l_16", 512, Preprocessing(512, "bicubic", IMAGENET.mean, IMAGENET.std)),
        ("vit_b_32", 320, Preprocessing(320, "bilinear", IMAGENET.mean, IMAGENET.std)),
    ],
)
def test_the_checkpoint_decides_on_the_size_of_a_vision_transformer(network, size, recipe):
    """Kind 12: the recipe of vit_h_14 is for 518 pixels, the network as built by default for 224."""
    build = find_builder(f"torchvision:{network}")
    with torch.device("meta"):
        state = build(7, image_size=size).state_dict()
        net = build(7, **image_size(build(2), state)).eval()
    assert net.image_size == size
    assert {name: x.shape for name, x in net.state_dict().items()} == {name: x.shape for name, x in state.items()}
    found = published_preprocessing(f"torchvision:{network}", net)
    assert found == recipe
    assert net(torch.zeros(1, 3, found.input_size, found.input_size, device="meta")).shape == (1, 7)


@pytest.mark.parametrize("positions", [torch.zeros(3), torch.zeros(1, 0, 4), torch.zeros(1, 6, 4)])
def test_positions_that_no_size_has_do_not_matter_here(positions):
    net = build_shapes(find_builder("torchvision:vit_b_32"))
    size = image_size(net, {"encoder.pos_embedding": positions})
    assert size == {} or size["image_size"] % 32 == 0
    assert image_size(build_shapes(find_builder("torchvision:resnet18")), {"encoder.pos_embedding": positions}) == {}


def test_recipes_of_vision_transformers_fit_them():
    """Kind 12, for every name, as built without a checkpoint."""
    for network in torchvision.models.list_models(module=torchvision.models, include="vit*"):
        net = build_shapes(find_builder(f"torchvision:{network}"))
        preprocessing = published_preprocessing(f"torchvision:{network}", net)
        assert preprocessing.input_size == net.image_size, network


@pytest.mark.parametrize("network", ["mobilenetv5_300m_enc", "deepseek_vit_412m_enc"])
def test_networks_without_a_head(network):
    """Kind 12: they give features for a language model."""
    import timm

    if not timm.is_model(network):
        pytest.skip("this timm does not have it")
    with pytest.raises(UsageError, match=rf"timm:{network} has no classification head") as error:
        count_classes(find_builder(f"timm:{network}"), {}, f"timm:{network}")
    assert "\n" not in str(error.value)
