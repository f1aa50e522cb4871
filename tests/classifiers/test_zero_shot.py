"""CLIP as a classifier, with a small random network from a server on loopback."""

import json
import sys

import pytest
import torch
from safetensors.torch import save

from edgefool.classifiers import load_classifier
from edgefool.errors import RunError, UsageError

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def open_clip(tmp_path, monkeypatch):
    """Return open_clip with a small network `tiny` that has weights `random` at the hub."""
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "tiny.json")
    config = {"hf_hub": "some/clip/", "quick_gelu": True, "resize_mode": "shortest", "interpolation": "bicubic"}
    config |= {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.3)}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"random": config})
    return open_clip


@pytest.fixture
def clip(open_clip, hub):
    """Publish the network and return it."""
    torch.manual_seed(3)
    clip = open_clip.create_model("tiny", force_quick_gelu=True).eval()
    hub.publish("some/clip", open_clip_model_safetensors=save(clip.state_dict()))
    return clip


@pytest.fixture
def names(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\nfire engine\n")
    return tmp_path / "names.txt"


IMAGES = torch.rand(2, 3, 90, 70, generator=torch.Generator().manual_seed(0))


def test_logits_are_100_times_the_cosine(open_clip, clip, names):
    classifier = load_classifier("clip:tiny/random", classes=names, progress=False)
    assert (classifier.name, classifier.tag, classifier.licence) == ("tiny-random", "random", None)
    assert classifier.classes == ("cat", "dog", "fire engine")
    config = {"size": 64, "mode": "RGB", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.3)}
    config |= {"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    transform.transforms = [step for step in transform.transforms if type(step).__name__ != "MaybeConvertMode"]
    prompts = open_clip.get_tokenizer("tiny")([f"a photo of a {name}." for name in classifier.classes])
    with torch.no_grad():
        image, text, _ = clip(transform(IMAGES), prompts)
    torch.testing.assert_close(classifier(IMAGES), 100 * image @ text.T, atol=1e-3, rtol=1e-4)


def test_gradients_reach_the_images(clip, names):
    images = IMAGES.clone().requires_grad_()
    load_classifier("clip:tiny/random", classes=names, progress=False)(images)[:, 0].sum().backward()
    assert (images.grad != 0).float().mean() > 0.5


def test_the_prompts_are_part_of_the_fingerprint_and_round_off_is_not(clip, names):
    first = load_classifier("clip:tiny/random", classes=names, progress=False)
    first.net._text += 1e-6
    assert first._fingerprint() == load_classifier("clip:tiny/random", classes=names, progress=False).fingerprint
    names.write_text("cat\ndog\nfire truck\n")
    assert load_classifier("clip:tiny/random", classes=names, progress=False).fingerprint != first.fingerprint


def test_the_classes_of_imagenet_by_default(clip):
    classifier = load_classifier("clip:tiny/random", progress=False)
    assert (classifier.num_classes, classifier.classes[1]) == (1000, "goldfish")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip:tiny", r"clip:tiny: must be clip:MODEL/TAG, such as"),
        ("clip:tin/random", "unknown model of open_clip 'tin'; did you mean tiny"),
        ("clip:tiny/randon", "unknown weights of open_clip's tiny 'randon'; did you mean random"),
    ],
)
def test_names_that_do_not_work(open_clip, name, message):
    with pytest.raises(UsageError, match=message):
        load_classifier(name)


def test_one_class(open_clip, names):
    names.write_text("cat\n")
    with pytest.raises(UsageError, match=r"names\.txt names 1 classes; a classifier needs at least two"):
        load_classifier("clip:tiny/random", classes=names)


def test_without_a_network(open_clip, no_network, names):
    with pytest.raises(RunError, match=r"cannot download the weights of clip:tiny/random .*works offline"):
        load_classifier("clip:tiny/random", classes=names, progress=False)


def test_open_clip_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r"clip:ViT-B-32/openai needs open_clip: pip install 'edgefool\[clip\]'"):
        load_classifier("clip:ViT-B-32/openai")
