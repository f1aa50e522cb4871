"""Photos are changed at full resolution, within bounds, and always alike."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import chelsea
from torch import nn

import edgefool
from edgefool.attacks import RobustEdgeFool
from edgefool.errors import ImageError, UsageError
from edgefool.images import read_image
from edgefool.protection import Protector, open_photo, photo_file, protector
from edgefool.protection.bounds import BOUNDS, Bounds
from edgefool.protection.protector import STEPS, attack_size


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(protector, "SIZE", 64)


@pytest.fixture
def tiny_net():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5, bias=False))
    net[2].weight.data = 8 * torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
    return net.eval()


@pytest.fixture
def photo(tmp_path, make_photo):
    return make_photo(tmp_path / "photo.png", 1, 96, 72)


@pytest.fixture
def loose(monkeypatch):
    """Take the bounds away."""
    for name in BOUNDS:
        monkeypatch.setitem(BOUNDS, name, Bounds(0, 100, 100))


def lightness(image):
    from kornia.color import rgb_to_lab

    return rgb_to_lab(image)[0]


@pytest.mark.usefixtures("loose")
def test_only_the_lightness_changes_and_stronger_is_more(tiny_net, photo):
    image = read_image(photo)
    changes = []
    for strength in ("subtle", "natural", "vivid"):
        changed = edgefool.protect(image, strength, [tiny_net])
        assert changed.shape == image.shape
        assert torch.equal((changed * 255).round() / 255, changed)
        changes.append((lightness(changed) - lightness(image)).abs().mean())
    assert 0 < changes[0] < changes[1] < changes[2]


def test_a_path_and_its_image_give_the_same_and_so_does_the_file(tiny_net, photo):
    by_path = edgefool.protect(photo, classifiers=[tiny_net])
    assert torch.equal(by_path, edgefool.protect(read_image(photo), classifiers=[tiny_net]))
    data, outcome = Protector(classifiers=[tiny_net]).protect_photo(open_photo(photo))
    assert torch.equal(read_image(data), by_path)
    assert (len(outcome.before), len(outcome.after)) == (1, 1)


def test_an_image_on_its_side_is_attacked_upright(tiny_net, photo, tmp_path):
    pixels = Image.open(photo)
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    data = [Protector(classifiers=[tiny_net]).protect_photo(open_photo(path))[0] for path in (photo, turned)]
    assert torch.equal(read_image(data[0]), read_image(data[1]))
    assert Image.open(io.BytesIO(data[1])).size == (72, 96)


@pytest.mark.parametrize("bounds", [Bounds(0.97, 100, 100), Bounds(0, 1, 100), Bounds(0, 100, 0.5)])
def test_a_change_that_passes_the_bounds_is_weakened(tiny_net, monkeypatch, photo, bounds):
    image = read_image(photo)
    if bounds.max_smooth_delta_e < 100:
        image = image * 0 + torch.linspace(0.3, 0.7, 96)
        image[:, ::8] += 0.05
    monkeypatch.setitem(BOUNDS, "natural", Bounds(0, 100, 100))
    _, before = Protector(classifiers=[tiny_net]).protect_image(image)
    assert before.factor == 1
    assert bounds.allowed_share(before.quality) < 1, "the test needs a change that passes the bound"
    monkeypatch.setitem(BOUNDS, "natural", bounds)
    _, after = Protector(classifiers=[tiny_net]).protect_image(image)
    assert after.factor < 1
    assert after.within_bounds
    assert bounds.allowed_share(after.quality) >= 1


def test_a_large_photo_is_encoded_less_often_because_a_small_copy_says_how_much_to_change(tiny_net, monkeypatch, photo):
    opened, encodings = open_photo(photo), []
    write = type(opened).encode

    def encode(*args):
        encodings[-1] += 1
        return write(*args)

    monkeypatch.setattr(type(opened), "encode", encode)
    monkeypatch.setitem(BOUNDS, "natural", Bounds(0.97, 100, 100))
    for large in (0, 10**9):
        monkeypatch.setattr(protector, "_LARGE", large)
        encodings.append(0)
        _, outcome = Protector(classifiers=[tiny_net]).protect_photo(opened)
        assert outcome.within_bounds
        assert 0.5 < outcome.factor < 1
        assert outcome.quality.ssim < 0.98, "no weaker than needed"
    assert encodings[0] < encodings[1]


def test_a_large_photo_within_the_bounds_is_not_weakened(tiny_net, monkeypatch, photo):
    monkeypatch.setattr(protector, "_LARGE", 0)
    monkeypatch.setitem(BOUNDS, "natural", Bounds(0, 100, 100))
    assert Protector(classifiers=[tiny_net]).protect_photo(open_photo(photo))[1].factor == 1


@pytest.fixture
def jpeg(tmp_path, make_photo):
    Image.open(make_photo(tmp_path / "photo.png", 1, 96, 72)).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path / "photo.jpg"


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize("growth", [1.01, 1.02, 1.03])
def test_a_jpeg_that_grows_too_much_is_weakened(tiny_net, monkeypatch, jpeg, growth):
    before, free = Protector("vivid", [tiny_net]).protect_photo(open_photo(jpeg))
    assert free.factor == 1
    assert len(before) > growth * jpeg.stat().st_size, "the test needs a result that is too large"
    monkeypatch.setattr(photo_file, "MAX_GROWTH", growth)
    after, outcome = Protector("vivid", [tiny_net]).protect_photo(open_photo(jpeg))
    assert len(after) <= growth * jpeg.stat().st_size
    assert 0 < outcome.factor < 1
    assert outcome.within_bounds


@pytest.mark.usefixtures("loose")
def test_a_jpeg_that_grows_too_much_without_any_change_is_not_weakened(tiny_net, monkeypatch, jpeg):
    monkeypatch.setattr(photo_file, "MAX_GROWTH", 0.5)
    _, outcome = Protector(classifiers=[tiny_net]).protect_photo(open_photo(jpeg))
    assert (outcome.factor, outcome.within_bounds) == (1, True)


@pytest.mark.usefixtures("loose")
def test_other_formats_may_grow(tiny_net, monkeypatch, photo):
    monkeypatch.setattr(photo_file, "MAX_GROWTH", 0.5)
    assert Protector(classifiers=[tiny_net]).protect_photo(open_photo(photo))[1].factor == 1


def test_bounds_that_cannot_be_kept_are_said_to_be_passed(tiny_net, monkeypatch, tmp_path):
    """Noise loses too much when it becomes a JPEG."""
    path = tmp_path / "noise.bmp"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    monkeypatch.setitem(BOUNDS, "natural", Bounds(0.99, 0.1, 100))
    _, outcome = Protector(classifiers=[tiny_net]).protect_photo(open_photo(path))
    assert not outcome.within_bounds
    assert outcome.factor < 0.1


@pytest.mark.parametrize("size", [(16, 16), (17, 400), (500, 20)])
def test_tiny_photos_and_panoramas(tiny_net, tmp_path, make_photo, size):
    path = make_photo(tmp_path / "odd.png", 0, *size)
    assert edgefool.protect(path, classifiers=[tiny_net]).shape == (3, *size[::-1])


def test_the_size_of_the_attack(monkeypatch):
    monkeypatch.setattr(protector, "SIZE", 448)
    assert attack_size(4000, 3000) == (448, 336)
    assert attack_size(100, 200) == (100, 200)
    assert attack_size(16, 60_000)[0] == 16
    height, width = attack_size(500, 20_000)
    assert height * width == pytest.approx(448 * 224, rel=0.02)
    assert width / height == pytest.approx(40, rel=0.02)


def test_bad_arguments(tiny_net, tmp_path):
    with pytest.raises(UsageError, match="unknown strength 'strong'"):
        Protector("strong", [tiny_net])
    with pytest.raises(UsageError, match="unknown classifier"):
        Protector(classifiers=["no-such"])
    with pytest.raises(UsageError, match=r"\[0, 1\]"):
        edgefool.protect(torch.full((3, 32, 32), 2.0), classifiers=[tiny_net])
    with pytest.raises(UsageError, match="shape"):
        edgefool.protect(torch.zeros(32, 32), classifiers=[tiny_net])
    with pytest.raises(ImageError):
        edgefool.protect(Path(tmp_path / "nowhere.jpg"), classifiers=[tiny_net])


def test_the_classifiers_of_the_package_are_attacked(monkeypatch):
    monkeypatch.setattr(protector, "SIZE", 224)
    image = torch.from_numpy(chelsea()).permute(2, 0, 1) / 255
    _, outcome = Protector(classifiers=protector.ENSEMBLE[:1]).protect_image(image)
    assert outcome.before[0] in ("tabby", "tiger cat", "Egyptian cat")
    assert outcome.after != outcome.before


def test_a_watched_attack_gives_the_same_file(tiny_net, photo):
    seen = []
    opened = open_photo(photo)
    alone = Protector(classifiers=[tiny_net]).protect_photo(opened)
    watched = Protector(classifiers=[tiny_net]).protect_photo(
        opened, watch=lambda step, steps, image_now: seen.append((step, steps, image_now()))
    )
    assert watched == alone
    assert [step for step, _, _ in seen] == list(range(1, STEPS + 1))
    assert {steps for _, steps, _ in seen} == {STEPS}
    images = [image for _, _, image in seen]
    assert {(image.shape, image.dtype.name) for image in images} == {((48, 64, 3), "uint8")}
    assert len({image.tobytes() for image in images}) > 2 * STEPS / 3


def test_a_watched_attack_that_ends_early_says_so(tiny_net, tmp_path, make_photo, monkeypatch):
    seen = []
    monkeypatch.setattr(protector, "RobustEdgeFool", partial(RobustEdgeFool, patience=3))
    easy = open_photo(make_photo(tmp_path / "easy.png", 3, 96, 72))
    Protector("vivid", [tiny_net]).protect_photo(easy, watch=lambda step, most, image: seen.append((step, most)))
    assert seen[:-1] == [(step, STEPS) for step in range(1, len(seen))]
    assert seen[-1] == (len(seen), len(seen))
    assert len(seen) < STEPS


def test_what_is_seen_last_is_what_the_attack_returns(tiny_net, photo, monkeypatch):
    """The small image comes from the attack itself, so its lightness is what the full photo gets."""
    seen = []
    monkeypatch.setattr(protector, "SIZE", 96)
    image = (read_image(photo) * 255).byte().permute(1, 2, 0).numpy()
    small = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    made = Protector(classifiers=[tiny_net])
    data, outcome = made.protect_photo(open_photo(photo), watch=lambda step, steps, now: seen.append(now()))
    assert outcome.factor == 1
    changed = lightness(torch.from_numpy(seen[-1]).permute(2, 0, 1) / 255) - lightness(small[0])
    assert (lightness(read_image(data)) - lightness(small[0]) - changed).abs().mean() < 0.3


def test_what_the_watcher_raises_ends_the_work(tiny_net, photo):
    def stop(step, steps, image):
        if step == 3:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        Protector(classifiers=[tiny_net]).protect_photo(open_photo(photo), watch=stop)
