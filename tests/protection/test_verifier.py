"""What is judged, compared with what the classifiers say of the same pixels made in another way."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from edgefool import Enhance, read_image
from edgefool.classifiers import Classifier, Preprocessing, SemanticGroups, load_classifier
from edgefool.errors import ImageError
from edgefool.metrics.robustness import transform
from edgefool.protection import Protector, open_photo
from edgefool.protection.findings import VERSIONS
from edgefool.protection.null_method import enhance_alone
from edgefool.protection.verifier import Verifier


def make_classifier(kind: Preprocessing, seed: int = 0, **options) -> Classifier:
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 5, bias=False))
    net[2].weight.data = torch.randn(5, 48, generator=torch.Generator().manual_seed(seed))
    names = ["cat", "dog", "car", "ship", "tree"]
    return Classifier(net, name=f"net{seed}", classes=names, architecture=f"a{seed}", preprocessing=kind, **options)


SQUARE = Preprocessing(24, "bilinear")
CROPPED = Preprocessing(20, "bicubic", (0.5,) * 3, (0.25,) * 3, resize_size=24, crop_mode="center")


@pytest.fixture
def files(tmp_path, make_photo):
    """Return a photo that its orientation turns, and the photo with another texture."""
    original = make_photo(tmp_path / "in.png", 1, 90, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, seed in (("in.jpg", 1), ("out.jpg", 2)):
        with Image.open(make_photo(tmp_path / "one.png", seed, 90, 60)) as image:
            image.save(tmp_path / name, quality=95, exif=exif.tobytes())
    original.unlink()
    return tmp_path / "in.jpg", tmp_path / "out.jpg"


@torch.no_grad()
def expected(classifier, image):
    logits = classifier(image[None])[0]
    return int(logits.argmax()), float(logits.softmax(0).max())


@pytest.mark.parametrize("kind", [SQUARE, CROPPED], ids=["squashed", "cropped"])
def test_decisions_are_those_on_the_file_and_on_its_transformations(files, kind):
    classifier = make_classifier(kind)
    judged = Verifier([classifier]).judge(*files)
    assert judged.sizes == ((60, 90), (60, 90)), "turned"
    assert [finding.version for finding in judged.findings] == list(VERSIONS)
    for finding in judged.findings:
        assert finding.classifier == classifier.fingerprint
        for said, path in ((finding.own.before, files[0]), (finding.own.after, files[1])):
            image = read_image(path)
            image = image if finding.version == "file" else transform(image, finding.version)
            index, probability = expected(classifier, image)
            assert (said.index, said.name) == (index, classifier.classes[index])
            assert said.probability == pytest.approx(probability, abs=1e-5)


@torch.no_grad()
def test_pillow_resizes_as_torchvision_does_with_pictures(files):
    """Its ``Resize`` and ``CenterCrop`` of Pillow's pictures."""
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize
    from torchvision.transforms.functional import pil_to_tensor

    classifier = make_classifier(CROPPED)
    with Image.open(files[1]) as image:
        small = CenterCrop(20)(Resize(24, InterpolationMode.BICUBIC)(ImageOps.exif_transpose(image)))
    probability = classifier.classify_resized(pil_to_tensor(small)[None].float() / 255)[0].softmax(0).max()
    finding = Verifier([classifier]).judge(*files).findings[0]
    assert finding.pillow.after.probability == pytest.approx(float(probability), abs=1e-5)
    assert finding.pillow.after.probability != finding.own.after.probability


def test_resizers_that_disagree_are_marked(files):
    """A classifier of the sign of a difference so small that rounding decides."""
    classifier = make_classifier(SQUARE)
    judged = Verifier([classifier]).judge(*files)
    assert not any(finding.resizers_disagree for finding in judged.findings)
    own, pillow = (open_small(files[1], pillow) for pillow in (False, True))
    assert not torch.equal(own, pillow)
    classifier.net = torch.nn.Sequential(torch.nn.Flatten(), Between(own.flatten(), pillow.flatten()))
    finding = Verifier([classifier]).judge(*files).findings[0]
    assert finding.resizers_disagree
    assert (finding.own.after.index, finding.pillow.after.index) == (0, 1)


def open_small(path, pillow):
    pixels = open_photo(path).upright()
    return SQUARE.resize_with_pillow(pixels) if pillow else SQUARE.resize(read_image(path)[None])


class Between(torch.nn.Module):
    """Says 0 for images nearer to the first, 1 for those nearer to the second."""

    def __init__(self, first, second):
        super().__init__()
        self.points = torch.nn.Parameter(torch.stack([first, second]))

    def forward(self, images):
        nearness = -torch.cdist(images, self.points)
        return torch.cat([nearness, nearness.new_full((len(images), 3), -1e6)], 1)


def test_groups_stand_beside_classes(files):
    groups = SemanticGroups(("animals", "vehicles"), (0, 0, 1, 1, -1))
    found = Verifier([make_classifier(CROPPED, seed, groups=groups) for seed in range(12)]).judge(*files).findings
    names = {"cat": "animals", "dog": "animals", "car": "vehicles", "ship": "vehicles", "tree": ""}
    for finding in found:
        before, after = finding.own.before, finding.own.after
        assert (before.group, after.group) == (names[before.name], names[after.name])
        assert finding.own.left_group == (None if not before.group else before.group != after.group)
    assert {finding.own.left_group for finding in found} >= {True, False}, "the test needs both"


def test_classifiers_that_resize_nothing_get_the_usual_size(files):
    sizes = []

    class Net(torch.nn.Module):
        def forward(self, images):
            sizes.append(tuple(images.shape[2:]))
            return images.mean((2, 3))

    classifier = Classifier(Net(), name="n", classes="abc", architecture="n", preprocessing=Preprocessing())
    Verifier([classifier]).judge(*files)
    assert set(sizes) == {(224, 224)}


def test_the_null_method_is_that_of_the_same_strength(tmp_path, make_photo):
    """A small photo is enhanced at its own size, so it is the image of `Enhance`, but for colours out of sRGB."""
    path = make_photo(tmp_path / "a.png", 3, 64, 48)
    alone = enhance_alone(open_photo(path), "natural")
    classifier = make_classifier(SQUARE)
    theirs = Enhance(v3=7.0)(classifier, read_image(path)[None], seeds=[0]).adversarial[0]
    difference = np.abs(alone.astype(int) - (theirs * 255).round().permute(1, 2, 0).numpy())
    assert np.median(difference) <= 1
    assert np.mean(difference) < 2
    original = np.asarray(Image.open(path))
    weak = np.abs(enhance_alone(open_photo(path), "natural", 0.25).astype(int) - original).mean()
    assert 0 < weak < 0.5 * np.abs(alone.astype(int) - original).mean()


def test_the_strength_is_read_from_the_mark(tmp_path, make_photo, monkeypatch):
    photo = open_photo(make_photo(tmp_path / "a.png", 3, 64, 48))
    verifier = Verifier([make_classifier(SQUARE)])
    (tmp_path / "b.png").write_bytes(photo.encode(photo.pixels, "0.2 subtle"))
    judged = verifier.judge(photo.path, tmp_path / "b.png")
    assert judged.strength == "subtle"
    assert all(finding.own.alone for finding in judged.findings)
    assert verifier.judge(photo.path, tmp_path / "b.png", "vivid").strength == "vivid"
    judged = verifier.judge(photo.path, photo.path)
    assert judged.strength is None
    assert not any(finding.own.alone or finding.own.changed for finding in judged.findings)


def test_a_protected_photo_of_a_classifier(tmp_path, make_photo, monkeypatch):
    monkeypatch.setattr("edgefool.protection.protector.SIZE", 64)
    classifier = make_classifier(SQUARE)
    photo = open_photo(make_photo(tmp_path / "a.jpg", 3, 96, 72))
    data, outcome = Protector("vivid", [classifier]).protect_photo(photo)
    (tmp_path / "b.jpg").write_bytes(data)
    own = Verifier([classifier]).judge(photo.path, tmp_path / "b.jpg").findings[0].own
    assert (own.before.name, own.after.name) == (outcome.before[0], outcome.after[0])


def test_previews_are_small_and_upright(files, tmp_path, make_photo):
    large = make_photo(tmp_path / "large.png", 0, 1500, 300)
    before, after = Verifier([make_classifier(SQUARE)]).judge(large, files[1]).previews
    sizes = []
    for data in (before, after):
        with Image.open(io.BytesIO(data)) as image:
            sizes.append((image.format, image.size, len(image.getexif())))
    assert sizes == [("JPEG", (640, 128), 0), ("JPEG", (60, 90), 0)]


def test_what_cannot_be_read_is_named(files, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no")
    verifier = Verifier([make_classifier(SQUARE)])
    with pytest.raises(ImageError, match=r"^the original "):
        verifier.judge(tmp_path / "broken.jpg", files[1])
    with pytest.raises(ImageError, match=r"^(?!the original)"):
        verifier.judge(files[0], tmp_path / "broken.jpg")


def test_the_classifiers_of_the_package(files):
    """They have ImageNet's groups."""
    found = Verifier([load_classifier("efficientnet-lite0")]).judge(*files).findings
    assert all(finding.own.before.group for finding in found)
