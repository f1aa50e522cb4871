import csv
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from edgefool.classifiers import CLASSIFIERS, Preprocessing, load_classifier
from edgefool.classifiers.preprocessing import IMAGENET
from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet
from edgefool.classifiers.vision import torchvision
from edgefool.errors import RunError, UsageError

IMAGES = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))


def normalised(images):
    """Subtract ImageNet's mean and divide by its standard deviation, as torchvision's weights need."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def checkpoint(folder, network, classes, seed=0, name="w.pth"):
    """Save a random network of torchvision's as a checkpoint and return it with its file."""
    torch.manual_seed(seed)
    net = torchvision.models.get_model(network, num_classes=classes).eval()
    torch.save(net.state_dict(), folder / name)
    return net, folder / name


@pytest.mark.parametrize("network", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
@pytest.mark.parametrize("classes", [2, 7])
def test_torchvision_by_name_and_file(tmp_path, network, classes):
    net, file = checkpoint(tmp_path, network, classes)
    classifier = load_classifier(f"torchvision:{network}", weights=file)
    assert (classifier.name, classifier.num_classes, classifier.preprocessing) == (network, classes, IMAGENET)
    assert classifier.classes == tuple(str(index) for index in range(classes))
    images = torch.rand(2, 3, 224, 224)
    expected = net(normalised(images))
    torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=1e-4)


def test_catalogue_name_with_another_file(tmp_path):
    """The architecture is the catalogue's, the number of classes the file's; names are ImageNet's only for 1000."""
    _, file = checkpoint(tmp_path, "resnet18", 3)
    classifier = load_classifier("resnet18", weights=str(file), cache=tmp_path / "never made")
    assert classifier(IMAGES).shape == (2, 3)
    assert classifier.classes == ("0", "1", "2")
    assert not (tmp_path / "never made").exists()


def test_the_same_weights_have_the_same_fingerprint_however_they_came(tmp_path):
    net, file = checkpoint(tmp_path, "squeezenet1_1", 4)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    _, other = checkpoint(tmp_path, "squeezenet1_1", 4, seed=1, name="other.pth")
    first, second, third = (
        load_classifier("torchvision:squeezenet1_1", weights=path).fingerprint
        for path in (file, tmp_path / "w.safetensors", other)
    )
    assert first == second != third


def test_number_of_classes_names_them(tmp_path):
    _, imagenet = checkpoint(tmp_path, "squeezenet1_1", 1000)
    assert load_classifier("torchvision:squeezenet1_1", weights=imagenet).classes[:2] == ("tench", "goldfish")
    _, places = checkpoint(tmp_path, "squeezenet1_1", 365)
    names = load_classifier("torchvision:squeezenet1_1", weights=places).classes
    assert (names[0], names[8], names[364]) == ("airfield", "apartment_building/outdoor", "zen_garden")


def test_class_names_from_a_file(tmp_path):
    _, file = checkpoint(tmp_path, "squeezenet1_1", 3)
    (tmp_path / "names.txt").write_text("cat\ndog\nmouse\n")
    classifier = load_classifier("torchvision:squeezenet1_1", weights=file, classes=tmp_path / "names.txt")
    assert classifier.classes == ("cat", "dog", "mouse")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="names 2 classes; the classifier has 3"):
        load_classifier("torchvision:squeezenet1_1", weights=file, classes=tmp_path / "names.txt")
    with pytest.raises(UsageError, match="cannot read the class names"):
        load_classifier("torchvision:squeezenet1_1", weights=file, classes=tmp_path / "none.txt")


def test_gradient_reaches_photos_of_their_own_size(tmp_path):
    _, file = checkpoint(tmp_path, "squeezenet1_1", 3)
    images = IMAGES.clone().requires_grad_()
    load_classifier("torchvision:squeezenet1_1", weights=file)(images).logsumexp(1).sum().backward()
    assert (images.grad != 0).float().mean() > 0.9


def test_random_numbers_are_left_alone(tmp_path):
    _, file = checkpoint(tmp_path, "squeezenet1_1", 3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_classifier("torchvision:squeezenet1_1", weights=file)
    assert torch.equal(torch.rand(3), expected)


def test_checkpoint_of_another_network(tmp_path):
    _, file = checkpoint(tmp_path, "squeezenet1_1", 3)
    with pytest.raises(UsageError, match=r"does not fit resnet18: 102 missing \(conv1\.weight, .*52 extra \(") as error:
        load_classifier("resnet18", weights=file)
    assert "\n" not in str(error.value)


def test_checkpoint_with_missing_extra_and_misshapen_tensors(tmp_path):
    net, file = checkpoint(tmp_path, "squeezenet1_1", 3)
    state = net.state_dict()
    del state["features.0.bias"]
    state["more"] = torch.ones(1)
    state["features.0.weight"] = torch.ones(64, 1, 3, 3)
    torch.save(state, file)
    with pytest.raises(UsageError) as error:
        load_classifier("torchvision:squeezenet1_1", weights=file)
    assert str(error.value).endswith(
        "1 missing (features.0.bias); 1 extra (more);"
        " 1 of another shape (features.0.weight (64, 1, 3, 3) instead of (64, 3, 3, 3))"
    )


def test_timm_by_name_and_file(tmp_path):
    import timm

    net = timm.create_model("resnet10t.c3_in1k", pretrained=False, num_classes=6).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    classifier = load_classifier("timm:resnet10t.c3_in1k", weights=tmp_path / "w.safetensors")
    published = net.default_cfg
    assert classifier.num_classes == 6
    expected = Preprocessing(176, published["interpolation"], published["mean"], published["std"])
    assert classifier.preprocessing == expected
    assert classifier(IMAGES).shape == (2, 6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"unknown classifier 'resnet5'; did you mean resnet50 or"),
        ("", "unknown classifier ''; known: alexnet, "),
        ("torchvision:resnet19", "unknown torchvision classifier 'resnet19'; did you mean"),
        ("torchvision:fcn_resnet50", "unknown torchvision classifier"),
        ("timm:resnet19", "unknown timm classifier 'resnet19'; did you mean"),
        ("my.py", r"needs the name of a function in it: my\.py:FUNCTION"),
        ("my.py:net", r"no Python file at .*my\.py"),
    ],
)
def test_names_that_do_not_work(name, message):
    with pytest.raises(UsageError, match=message) as error:
        load_classifier(name)
    assert "\n" not in str(error.value)


# --- forms of checkpoints


@pytest.mark.filterwarnings("ignore::FutureWarning")  # how torchvision initialises them
@pytest.mark.parametrize(
    ("network", "wrap"),
    [
        ("inception_v3", lambda state: state),
        ("googlenet", lambda state: {"state_dict": {f"module.{k}": x for k, x in state.items()}}),
    ],
)
@pytest.mark.slow
def test_inceptions_without_auxiliary_heads(tmp_path, network, wrap):
    """Kind 11: they are used in training only. With them the fingerprint is that of 0.1.0."""
    net, file = checkpoint(tmp_path, network, 5)
    whole = load_classifier(f"torchvision:{network}", weights=file)
    state = {name: x for name, x in net.state_dict().items() if not name.lower().startswith("aux")}
    assert len(state) < len(net.state_dict())
    torch.save(wrap(state), file)
    first, second = (load_classifier(f"torchvision:{network}", weights=file) for _ in range(2))
    torch.testing.assert_close(first(IMAGES), whole(IMAGES))
    assert first.fingerprint == second.fingerprint  # no random heads

    def convolutions(state):  # into which norms are folded
        return {name for name in state if name.endswith("conv.weight")}

    assert convolutions(first.net.state_dict()) == convolutions(state)
    assert convolutions(whole.net.state_dict()) == convolutions(net.state_dict()) > convolutions(state)
    del state["fc.bias"]
    torch.save(state, file)
    with pytest.raises(UsageError, match=r"does not fit .*: 1 missing \(fc\.bias\)"):
        load_classifier(f"torchvision:{network}", weights=file)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_networks_whose_own_names_have_module_in_them(tmp_path, prefix):
    """Kind 11: nine networks of timm have."""
    import timm

    if not timm.is_model("iformer_t"):
        pytest.skip("this timm does not have them")
    torch.manual_seed(0)
    net = timm.create_model("iformer_t", num_classes=4).eval()
    assert any(".module." in name for name in net.state_dict())
    torch.save({prefix + name: x for name, x in net.state_dict().items()}, tmp_path / "w.pth")
    classifier = load_classifier("timm:iformer_t", weights=tmp_path / "w.pth")
    images = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(classifier(images), net(normalised(images)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [0, 1])
@pytest.mark.parametrize("name", ["torchvision:resnet18", "resnet18"])
def test_checkpoints_with_too_few_classes(tmp_path, name, classes):
    """Kinds 9 and 11."""
    net, file = checkpoint(tmp_path, "resnet18", 2)
    state = net.state_dict()
    torch.save(state | {key: state[key][:classes].clone() for key in ("fc.weight", "fc.bias")}, file)
    with pytest.raises(UsageError, match=rf"w\.pth has {classes} classes; a classifier needs at least two"):
        load_classifier(name, weights=file)


def test_a_checkpoint_without_the_head(tmp_path):
    """Kind 12: names of features, as DINO's, take a checkpoint with a head; one without is refused in one line."""
    import timm

    name = "vit_tiny_patch16_224"
    torch.save(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=rf"does not fit timm:{name}: 2 missing \(head\.weight, head\.bias\)$"):
        load_classifier(f"timm:{name}", weights=tmp_path / "w.pth")


@pytest.mark.slow
def test_vision_transformers_at_the_size_of_their_checkpoint(tmp_path):
    """Kind 12, as vit_h_14 but small enough to run."""
    torch.manual_seed(0)
    net = torchvision.models.vit_b_32(num_classes=3, image_size=96).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    classifier = load_classifier("torchvision:vit_b_32", weights=tmp_path / "w.pth")
    assert classifier.preprocessing.input_size == 96
    images = torch.rand(1, 3, 96, 96)
    torch.testing.assert_close(classifier(images), net(normalised(images)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("key", ["state_dict", "state_dict_ema"])
def test_a_key_chooses_between_two_checkpoints(tmp_path, key):
    """Kind 11: in Python by `FILE::KEY`, a path or a string."""
    nets = {
        name: checkpoint(tmp_path, "squeezenet1_1", 3, k)[0] for k, name in enumerate(["state_dict", "state_dict_ema"])
    }
    torch.save({name: net.state_dict() for name, net in nets.items()}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"holds several checkpoints; choose one: .*::state_dict, .*::state_dict_ema$"):
        load_classifier("torchvision:squeezenet1_1", weights=tmp_path / "w.pth")
    images = torch.rand(1, 3, 224, 224)
    for weights in (f"{tmp_path / 'w.pth'}::{key}", tmp_path / f"w.pth::{key}"):
        classifier = load_classifier("torchvision:squeezenet1_1", weights=weights)
        torch.testing.assert_close(classifier(images), nets[key](normalised(images)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "form"), [("resnet18", "nested"), ("squeezenet1_1", "prefixed"), ("squeezenet1_1", "safetensors")]
)
def test_real_weights_in_other_forms_are_the_same_classifier(shared, tmp_path, network, form):
    state = load_file(shared / "classifiers" / f"{network}.safetensors")
    if form == "safetensors":
        save_file(state, tmp_path / "w.bin")
    else:
        moved = {f"module.{name}": x for name, x in state.items()}
        torch.save({"model": {"ema": state}} if form == "nested" else moved, tmp_path / "w.bin")
    plain = load_classifier(f"torchvision:{network}", weights=shared / "classifiers" / f"{network}.safetensors")
    assert load_classifier(f"torchvision:{network}", weights=tmp_path / "w.bin").fingerprint == plain.fingerprint


# --- weights of the catalogue


@pytest.mark.slow
def test_places365_weights_as_published(tmp_path):
    """Files of 2017: no batch counters, `module.` inside AlexNet's names, the old format; from the cache folder."""
    for network in ("resnet18", "alexnet"):
        net, _ = checkpoint(tmp_path, network, 365)
        state = {
            f"module.{key}" if network == "resnet18" else key.replace("features.", "features.module."): value
            for key, value in net.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        path = tmp_path / f"{network}_places365.pth.tar"
        torch.save({"epoch": 90, "state_dict": state}, path, _use_new_zipfile_serialization=False)
        classifier = load_classifier(f"{network}-places365", cache=tmp_path)
        assert (classifier.name, classifier.classes[0]) == (f"{network}-places365", "airfield")
        images = torch.rand(1, 3, 224, 224)
        torch.testing.assert_close(classifier(images), net(normalised(images)), atol=1e-4, rtol=1e-4)
        assert hashlib.sha256(path.read_bytes()).hexdigest() in (tmp_path / f"{path.name}.sha256").read_text()


def test_a_wrong_file_in_the_cache_is_not_used(tmp_path):
    checkpoint(tmp_path, "resnet18", 10, name="resnet18-f37072fd.pth")
    with pytest.raises(RunError, match="not f37072fd"):
        load_classifier("resnet18", cache=tmp_path)


@pytest.mark.parametrize("build", [shipped_resnet, shipped_alexnet])
def test_shipped_networks_with_other_weights(tmp_path, build):
    torch.manual_seed(0)
    save_file(build(4).half().state_dict(), tmp_path / "w.safetensors")
    name = "caltech101-" + build.__name__.removeprefix("shipped_")
    classifier = load_classifier(name, weights=tmp_path / "w.safetensors")
    assert (classifier.num_classes, classifier.preprocessing) == (4, CLASSIFIERS[name].preprocessing)
    assert classifier(IMAGES).dtype == torch.float32


@pytest.mark.parametrize("name", ["caltech101-resnet", "caltech101-alexnet"])
def test_shipped_classifiers_need_nothing(name):
    classifier = load_classifier(name)
    assert classifier.num_classes == CLASSIFIERS[name].num_classes
    assert not classifier.classes[0].isdigit()
    assert classifier(IMAGES).shape == (2, classifier.num_classes)


def test_torchvision_is_not_imported_without_need():
    code = "import sys, edgefool.classifiers as c; c.Classifier; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- real networks on real photos


def read_photos(paths):
    read = [Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR) for path in paths]
    return torch.from_numpy(np.stack([np.asarray(image) for image in read])).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module")
def photos(shared):
    """Return the first 20 images of NIPS 2017, resized to 224, and their ImageNet labels."""
    folder = shared / "images" / "nips2017"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:20]
    images = read_photos([folder / row["file"] for row in rows])
    return images, torch.tensor([int(row["label"]) for row in rows])


@pytest.mark.parametrize(
    ("name", "weights", "least"),
    [
        pytest.param("resnet50", "resnet50", 0.7, marks=pytest.mark.slow),
        ("torchvision:resnet18", "resnet18", 0.6),
        pytest.param("timm:resnet18", "resnet18", 0.6, marks=pytest.mark.slow),
        ("torchvision:squeezenet1_1", "squeezenet1_1", 0.4),
        ("mobilenet_v1", None, 0.65),
        ("mobilenet_v2", None, 0.65),
    ],
)
def test_real_classifiers_on_real_photos(shared, photos, name, weights, least):
    images, labels = photos
    folder = shared / "classifiers"
    if weights:
        classifier = load_classifier(name, weights=folder / f"{weights}.safetensors")
    else:
        classifier = load_classifier(f"{folder / 'models.py'}:{name}")
    assert classifier.classes[1] == "goldfish"
    with torch.inference_mode():
        correct = (classifier(images).argmax(1) == labels).float().mean().item()
    assert correct >= least


def test_a_real_scene_classifier(shared):
    """The images of places365_val whose category is known; published top-5 on the whole set: 71 %."""
    classifier = load_classifier(f"{shared / 'classifiers' / 'models.py'}:squeezenet_places365")
    folder = shared / "images" / "places365_val" / "raw"
    with (folder.parent / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    images = read_photos([folder / row["file"] for row in rows])
    assert [classifier.classes[int(row["label"])] for row in rows] == [row["category"].lstrip("/")[2:] for row in rows]
    with torch.inference_mode():
        best = classifier(images).topk(5).indices
    hits = (best == torch.tensor([int(row["label"]) for row in rows])[:, None]).any(1)
    assert hits.float().mean() >= 0.5
