import pytest
import torch
from torch import nn

from edgefool.classifiers.architectures import count_classes, find_builder, published_preprocessing
from edgefool.classifiers.preprocessing import IMAGENET, Preprocessing


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
    pytest.importorskip("timm")
    assert published_preprocessing("timm:vit_base_patch16_224.augreg_in21k") == Preprocessing(
        224, "bicubic", half, half
    )
