"""Published weights, from a server on loopback."""

import hashlib
import io
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save

from edgefool.classifiers import CLASSIFIERS, load_classifier
from edgefool.classifiers.architectures import import_timm
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.classifiers.published import timm_classes
from edgefool.classifiers.vision import torchvision
from edgefool.errors import RunError, UsageError
from edgefool.runs import read_run

timm = import_timm()
IMAGES = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))
OFFLINE = [info.name for info in CLASSIFIERS.values() if info.url is None]


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def publish(hub, monkeypatch):
    """Return a function that lets torchvision find weights at the hub."""

    def publish(weights, state, digits=None):
        body = state if isinstance(state, bytes) else saved(state)
        path = f"/models/net-{digits or hashlib.sha256(body).hexdigest()[:8]}.pth"
        hub.files[path] = body
        monkeypatch.setattr(weights.value, "url", hub.endpoint + path)
        return path

    return publish


def own_transform(weights, images):
    """Apply the transform of torchvision's weights."""
    return weights.transforms()(images)


@pytest.mark.parametrize(
    ("name", "weights", "options"),
    [
        ("squeezenet1_1", torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1, {}),
        ("mobilenet_v2", torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2, {}),
        ("mobilenet_v2.IMAGENET1K_V1", torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1, {}),
        ("googlenet", torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1, {"transform_input": True}),
    ],
)
def test_torchvision(hub, publish, tmp_path, name, weights, options):
    torch.manual_seed(1)
    if options:
        options["init_weights"] = False
    net = torchvision.models.get_model(name.partition(".")[0], **options).eval()
    path = publish(weights, net.state_dict())
    classifier = load_classifier(f"torchvision:{name}", progress=False)
    assert (classifier.name, classifier.tag) == (name, weights.name)
    assert classifier.classes == tuple(weights.meta["categories"])
    torch.testing.assert_close(classifier(IMAGES), net(own_transform(weights, IMAGES)), atol=1e-4, rtol=1e-4)
    assert (tmp_path / "torch" / "hub" / "checkpoints" / path.rpartition("/")[2]).is_file()
    assert load_classifier(f"torchvision:{name}", progress=False).fingerprint == classifier.fingerprint
    assert hub.requests == [path]  # the second time from the cache


def test_torchvision_in_a_given_folder_with_given_names(publish, tmp_path):
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    publish(weights, torchvision.models.squeezenet1_1().state_dict())
    (tmp_path / "names.txt").write_text("\n".join(f"thing {k}" for k in range(1000)))
    classifier = load_classifier(
        "torchvision:squeezenet1_1", classes=tmp_path / "names.txt", cache=tmp_path / "mine", progress=False
    )
    assert classifier.classes[999] == "thing 999"
    assert list((tmp_path / "mine").iterdir())
    assert not (tmp_path / "torch").exists()


def test_densenet_with_the_names_of_its_published_file(publish):
    weights = torchvision.models.DenseNet121_Weights.IMAGENET1K_V1
    torch.manual_seed(1)
    net = torchvision.models.densenet121().eval()
    old = {
        (f"{key[: -len(part)]}{part[:4]}.{part[4:]}" if "denselayer" in key else key): tensor
        for key, tensor in net.state_dict().items()
        for part in [".".join(key.split(".")[-2:])]
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    publish(weights, old)
    classifier = load_classifier("torchvision:densenet121", progress=False)
    torch.testing.assert_close(classifier(IMAGES), net(own_transform(weights, IMAGES)), atol=1e-4, rtol=1e-4)


def test_the_licence_of_torchvisions_weights(publish, monkeypatch):
    """As those of SWAG have, whose networks are large."""
    assert "license" in torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_LINEAR_V1.meta
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setitem(weights.meta, "license", "some terms")
    publish(weights, torchvision.models.squeezenet1_1().state_dict())
    assert load_classifier("torchvision:squeezenet1_1", progress=False).licence == "some terms"


def test_a_checkpoint_keeps_direct_resizing(tmp_path):
    torch.save(torchvision.models.squeezenet1_1(num_classes=3).state_dict(), tmp_path / "w.pth")
    before = load_classifier("torchvision:squeezenet1_1", weights=tmp_path / "w.pth").preprocessing
    assert (before.crop_mode, before.resize_size, before.input_size) == ("squash", None, 224)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("was run",)


def test_torchvision_files_cannot_run_code(publish, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1, saved({"w": Malicious()}))
    with pytest.raises(UsageError, match="torchvision:squeezenet1_1 cannot be loaded: UnpicklingError"):
        load_classifier("torchvision:squeezenet1_1", progress=False)
    assert not (tmp_path / "was run").exists()


def test_torchvision_checks_the_hash(publish):
    publish(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1, b"not what it was", digits="01234567")
    with pytest.raises(RunError, match=r"cannot download the weights of torchvision:squeezenet1_1 \(.*hash value"):
        load_classifier("torchvision:squeezenet1_1", progress=False)


def make_timm(name, **options):
    torch.manual_seed(2)
    return timm.create_model(name, pretrained=False, **options).eval()


def timm_transform(config, images):
    """Apply timm's own transform."""
    return timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))(images)


@pytest.mark.parametrize("name", ["resnet10t", "resnet10t.c3_in1k", "test_convnext.r160_in1k", "test_vit.r160_in1k"])
def test_timm(hub, tmp_path, name):
    net = make_timm(name)
    published = timm.get_pretrained_cfg(name)
    hub.publish(published.hf_hub_id, model_safetensors=save(net.state_dict()))
    classifier = load_classifier(f"timm:{name}", progress=False)
    assert (classifier.name, classifier.tag, classifier.licence) == (name, published.tag, published.license)
    assert classifier.architecture == f"timm:{published.architecture}.{published.tag}"
    expected = net(timm_transform(net.pretrained_cfg, IMAGES))
    torch.testing.assert_close(classifier(IMAGES), expected, atol=1e-4, rtol=1e-4)
    assert classifier.classes[1] == "goldfish"
    assert (tmp_path / "hub").is_dir()


def test_the_old_format_at_the_hub_cannot_run_code(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub.publish("timm/resnet10t.c3_in1k", pytorch_model_bin=saved({"w": Malicious()}))
    with pytest.raises(UsageError, match=r"timm:resnet10t\.c3_in1k cannot be loaded: .*weights_only"):
        load_classifier("timm:resnet10t.c3_in1k", progress=False)
    assert not (tmp_path / "was run").exists()


CONFIG = {
    "architecture": "test_vit",
    "num_classes": 3,
    "pretrained_cfg": {
        "tag": "mine",
        "input_size": [3, 160, 160],
        "fixed_input_size": True,
        "interpolation": "bilinear",
        "crop_pct": 0.8,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "num_classes": 3,
        "license": "cc0",
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    },
}


def changed(**changes):
    """Return a ``config.json`` with other values, at the top and in its ``pretrained_cfg``."""
    config = json.loads(json.dumps(CONFIG))
    config["pretrained_cfg"] |= {key: value for key, value in changes.items() if key in config["pretrained_cfg"]}
    return json.dumps(config | changes).encode()


def test_hub(hub):
    net = make_timm("test_vit", num_classes=3)
    config = changed(label_names=["n1", "n2", "n3"], label_descriptions={"n1": "cat", "n2": "dog", "n3": "mouse"})
    hub.publish("some/model", config_json=config, model_safetensors=save(net.state_dict()))
    classifier = load_classifier("hf-hub:some/model", progress=False)
    assert (classifier.name, classifier.tag, classifier.licence) == ("model", "mine", "cc0")
    assert classifier.classes == ("cat", "dog", "mouse")
    half, quarter = 3 * (0.5,), 3 * (0.25,)
    assert classifier.preprocessing == Preprocessing(160, "bilinear", half, quarter, 200, "center")
    expected = net(timm_transform(CONFIG["pretrained_cfg"], IMAGES))
    torch.testing.assert_close(classifier(IMAGES), expected, atol=1e-4, rtol=1e-4)


def test_arguments_of_a_network_are_part_of_its_fingerprint(hub):
    net = make_timm("test_vit", num_classes=3)
    for owner, options in (("plain", {}), ("other", {"norm_layer": "layernormfp32"})):
        hub.publish(f"{owner}/model", config_json=changed(model_args=options), model_safetensors=save(net.state_dict()))
    plain, other = (load_classifier(f"hf-hub:{owner}/model", progress=False) for owner in ("plain", "other"))
    assert plain.architecture == "timm:test_vit"
    assert plain.classes == ("0", "1", "2")
    assert plain.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b'{"architectures": ["ViTForImageClassification"]}', "is not a model of timm"),
        (b"not JSON", "is not a model of timm"),
        (changed(architecture="test_vit9"), "unknown timm classifier 'test_vit9'; did you mean"),
        (changed(num_classes=0), "has no classification head"),
        (changed(input_size=[1, 160, 160]), "takes 1 channels of 160 x 160"),
        (changed(input_size=[3, 160, 96]), "takes 3 channels of 160 x 96"),
        (changed(interpolation="nearest"), "the interpolation nearest"),
        (changed(num_classes=4), r"hf-hub:some/model cannot be loaded: RuntimeError"),
        (None, "the hub has no such model or file"),
    ],
)
def test_what_the_hub_has_that_does_not_work(hub, config, message):
    net = make_timm("test_vit", num_classes=3)
    hub.publish("some/model", model_safetensors=save(net.state_dict()))
    if config:
        hub.publish("some/model", config_json=config)
    with pytest.raises(UsageError, match=message) as error:
        load_classifier("hf-hub:some/model", progress=False)
    assert "\n" not in str(error.value)


def test_a_repository_that_does_not_exist(hub):
    with pytest.raises(UsageError, match="hf-hub:some/typo: the hub has no such model or file, or it is private"):
        load_classifier("hf-hub:some/typo", progress=False)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("mobilenetv3_large_100.miil_in21k", "goldfish, Carassius auratus"),
        ("convnext_tiny.in12k", "goldfish, Carassius auratus"),
        ("convnext_tiny.fb_in22k", "goldfish, Carassius auratus"),
        ("vit_tiny_patch16_224.augreg_in21k", "goldfish, Carassius auratus"),
        ("resnet18", "goldfish"),
    ],
)
def test_names_of_the_classes_of_imagenet(name, names):
    config = timm.get_pretrained_cfg(name).to_dict()
    classes = timm_classes(config)
    assert len(classes) == config["num_classes"]
    assert names in classes


def test_sparse_names():
    assert timm_classes({"num_classes": 3, "label_names": {"0": "cat", "2": "dog"}}) == ("cat", "1", "dog")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet18.V9", "unknown weights of torchvision's resnet18 'V9'; known: DEFAULT, IMAGENET1K_V1"),
        ("torchvision:resnet50.IMAGENET1K", "did you mean IMAGENET1K_V2 or IMAGENET1K_V1"),
        ("torchvision:vgg16.IMAGENET1K_FEATURES", "has no classification head"),
        ("timm:resnet18.a1_in", "unknown weights of timm's resnet18 'a1_in'; did you mean a1_in1k"),
        ("timm:coatnet_0_224", "timm publishes no weights of timm:coatnet_0_224"),
        ("timm:vit_small_patch14_dinov2", "has no classification head"),
        ("hf-hub:", "cannot be loaded"),
        ("hf-hub:a/b/c", "cannot be loaded"),
    ],
)
def test_names_that_do_not_work(hub, name, message):
    with pytest.raises(UsageError, match=message) as error:
        load_classifier(name, progress=False)
    assert "\n" not in str(error.value)
    assert not hub.requests


def test_weights_of_ones_own_for_what_brings_its_weights(tmp_path):
    with pytest.raises(UsageError, match="hf-hub:some/model brings its own weights; leave out weights="):
        load_classifier("hf-hub:some/model", weights=tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:resnet10t", "hf-hub:some/model"])
def test_without_a_network(no_network, monkeypatch, caplog, name):
    url = "http://127.0.0.1:9/net-01234567.pth"
    monkeypatch.setattr(torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value, "url", url)
    with pytest.raises(RunError, match=f"cannot download the weights of {name} .*refused.*try again") as error:
        load_classifier(name, progress=False)
    assert str(error.value).endswith(", ".join(OFFLINE))
    assert not caplog.records
    assert "\n" not in str(error.value)


def test_random_numbers_are_left_alone(hub):
    hub.publish("timm/test_vit.r160_in1k", model_safetensors=save(make_timm("test_vit").state_dict()))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_classifier("timm:test_vit", progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_the_command_line_with_hf_endpoint(hub, tmp_path):
    net = make_timm("test_vit", num_classes=3)
    hub.publish("some/model", config_json=changed(), model_safetensors=save(net.state_dict()))
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}
    code = """
from edgefool.cli import main
for name in ("vit=hf-hub:some/model", "hf-hub:some/typo"):
    try:
        main(["attack", "a.png", "--out", "run", "--method", "nfgsm", "--classifier", name])
    except SystemExit as end:
        print("CODE", end.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("CODE")] == ["CODE 0", "CODE 2"], done.stderr
    assert "loaded vit: weights mine, licence cc0" in " ".join(done.stderr.split())
    assert "the hub has no such model" in " ".join(done.stderr.split())
    assert list((tmp_path / "hf").rglob("model.safetensors"))
    assert list((tmp_path / "run" / "images").rglob("vit/*.png"))
    (session,) = read_run(tmp_path / "run").sessions()
    assert list(session.weights.values()) == [{"classifier": "vit", "tag": "mine", "licence": "cc0"}]
