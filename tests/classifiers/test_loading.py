import csv
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from edgefool.classifiers import load_classifier, loading
from edgefool.classifiers.catalogue import CATALOGUE
from edgefool.classifiers.shipped import shipped_alexnet, shipped_resnet
from edgefool.classifiers.vision import torchvision
from edgefool.errors import RunError, UsageError

IMAGES = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))


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
    assert (classifier.name, classifier.num_classes, classifier.input_size) == (network, classes, 224)
    assert classifier.classes == tuple(str(index) for index in range(classes))
    images = torch.rand(2, 3, 224, 224)
    mean, std = torch.tensor(classifier.mean).view(3, 1, 1), torch.tensor(classifier.std).view(3, 1, 1)
    expected = net((images - mean) / std)
    torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=1e-4)


def test_catalogue_name_with_another_file(tmp_path):
    """The architecture is the entry's, the number of classes the file's; names are ImageNet's only for 1000."""
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
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet10t.c3_in1k", pretrained=False, num_classes=6).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    classifier = load_classifier("timm:resnet10t.c3_in1k", weights=tmp_path / "w.safetensors")
    published = net.default_cfg
    assert classifier.num_classes == 6
    assert (classifier.input_size, classifier.interpolation) == (176, published["interpolation"])
    assert (classifier.mean, classifier.std) == (published["mean"], published["std"])
    assert classifier(IMAGES).shape == (2, 6)


def test_timm_is_optional(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"needs timm: pip install"):
        load_classifier("timm:resnet18", weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"unknown classifier 'resnet5'; did you mean resnet50 or"),
        ("", "unknown classifier ''; known: alexnet, "),
        ("torchvision:resnet19", "unknown torchvision classifier 'resnet19'; did you mean"),
        ("torchvision:fcn_resnet50", "unknown torchvision classifier"),
        ("timm:resnet19", "unknown timm classifier 'resnet19'; did you mean"),
        ("torchvision:resnet18", "needs a file with its weights"),
        ("timm:resnet18", "needs a file with its weights"),
        ("my.py", r"needs the name of a function in it: my\.py:FUNCTION"),
        ("my.py:net", "no Python file at my"),
    ],
)
def test_names_that_do_not_work(name, message):
    with pytest.raises(UsageError, match=message) as error:
        load_classifier(name)
    assert "\n" not in str(error.value)


# --- the user's own file


FACTORY = """
import dataclasses
from pathlib import Path
import torch
from torch import nn

@dataclasses.dataclass
class Plan:  # looks its module up in sys.modules
    width: "int" = 5

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3, Plan().width)
    def forward(self, x):
        return self.head(x.mean((2, 3)).view(len(x), 3))

def net():
    assert (Path(__file__).parent / "helper.py").exists()
    return Net()

def relative():
    from .helper import make
    return make()

def absolute():
    import edgefool_test_helper
    return edgefool_test_helper.make()

def broken(): raise OSError("no weights here\\nat all")
def number(): return 3
def wants(argument): return Net()
def crops(): return nn.Linear(3, 3)
def maps(): return nn.Conv2d(3, 3, 1)
def pair(): return type("Pair", (nn.Module,), {"forward": lambda self, x: (x, x)})()
not_a_function = 3
"""


@pytest.fixture
def file(tmp_path):
    helper = "from torch import nn\ndef make(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    (tmp_path / "helper.py").write_text(helper)
    (tmp_path / "edgefool_test_helper.py").write_text(helper)
    (tmp_path / "own.py").write_text(FACTORY)
    return tmp_path / "own.py"


def test_factory_in_a_file(file):
    classifier = load_classifier(f"{file}:net")
    assert (classifier.name, classifier.num_classes, classifier.input_size) == ("own-net", 5, None)
    assert not classifier.net.head.weight.requires_grad
    assert classifier(IMAGES).shape == (2, 5)
    torch.testing.assert_close(classifier(IMAGES), classifier.net(IMAGES))
    fingerprint = classifier.fingerprint
    assert load_classifier(f"{file}:net").fingerprint == fingerprint
    file.write_text(FACTORY.replace("self.head(x", "-self.head(x"))
    assert load_classifier(f"{file}:net").fingerprint != fingerprint


@pytest.mark.parametrize("factory", ["relative", "absolute"])
def test_factory_that_imports_its_neighbours(file, factory):
    assert load_classifier(f"{file}:{factory}").num_classes == 3


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nett", r"unknown function in .*own\.py 'nett'; did you mean net"),
        ("not_a_function", "unknown function"),
        ("broken", r"own\.py:broken failed: OSError: no weights here$"),
        ("number", "returned a int, not an nn.Module"),
        ("wants", "failed: TypeError: wants.. missing 1"),
        ("crops", "cannot classify an image of 224 x 224: RuntimeError"),
        ("maps", r"should give one row of logits per image, not a tensor of shape \(1, 3, 224, 224\)"),
        ("pair", "should give one row of logits per image, not a tuple"),
    ],
)
def test_factories_that_fail(file, factory, message):
    with pytest.raises(UsageError, match=message):
        load_classifier(f"{file}:{factory}")


@pytest.mark.parametrize("body", ["import nothing_of_this_name", "def (", "1 / 0"])
def test_files_that_cannot_be_imported(tmp_path, body):
    (tmp_path / "own.py").write_text(body)
    with pytest.raises(UsageError, match=r"own\.py cannot be imported: (ModuleNotFound|Syntax|ZeroDivision)Error"):
        load_classifier(f"{tmp_path / 'own.py'}:net")


def test_factory_keeps_its_own_weights(file):
    with pytest.raises(UsageError, match="leave --weights out"):
        load_classifier(f"{file}:net", weights="w.pth")


# --- weights of the catalogue


def test_places365_weights_as_published(tmp_path):
    """Files of 2017: no batch counters, `module.` in AlexNet's midst, the old format; from the cache folder."""
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
        mean, std = torch.tensor(classifier.mean).view(3, 1, 1), torch.tensor(classifier.std).view(3, 1, 1)
        torch.testing.assert_close(classifier(images), net((images - mean) / std), atol=1e-4, rtol=1e-4)
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
    assert (classifier.num_classes, classifier.input_size) == (4, CATALOGUE[name].input_size)
    assert classifier(IMAGES).dtype == torch.float32


@pytest.mark.parametrize("name", ["caltech101-resnet", "caltech101-alexnet"])
def test_shipped_classifiers_need_nothing(name):
    classifier = load_classifier(name)
    assert classifier.num_classes == CATALOGUE[name].num_classes
    assert not classifier.classes[0].isdigit()
    assert classifier(IMAGES).shape == (2, classifier.num_classes)


def test_every_number_of_classes_is_read_from_the_head():
    """The tensor that tells the number of classes is the output's, also beside auxiliary outputs."""
    for network in ("regnet_y_400mf", "googlenet", "densenet121", "vit_b_32", "convnext_tiny"):
        build = loading._torchvision(network)
        state = {
            "fc.weight": torch.ones(9, 1),
            "classifier.weight": torch.ones(9, 1),
            "classifier.2.bias": nn.Parameter(),
        }
        state |= {"fc.bias": torch.ones(9), "classifier.bias": torch.ones(9), "classifier.2.bias": torch.ones(9)}
        state |= {"heads.head.bias": torch.ones(9), "aux1.fc2.bias": torch.ones(5)}
        assert loading._count_classes(build, state) == 9, network


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
        ("resnet50", "resnet50", 0.7),
        ("torchvision:resnet50", "resnet50", 0.7),
        ("resnet18", "resnet18", 0.6),
        ("torchvision:resnet18", "resnet18", 0.6),
        ("timm:resnet18", "resnet18", 0.6),
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
