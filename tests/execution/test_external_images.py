"""Images of another tool are taken in, paired by name and measured like our own."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from edgefool.classifiers import load_classifier
from edgefool.datasets import Folder
from edgefool.errors import UsageError
from edgefool.execution import ExternalImages
from edgefool.images import encode_png, read_image, resize_image
from edgefool.metrics import psnr, ssim
from edgefool.runs import RunFolder
from edgefool.storage import parse_path


def external(clean: Path, adversarial: Path, size: int | str = "native", **labels: object) -> ExternalImages:
    return ExternalImages(Folder(name="originals", path=(clean,), **labels), parse_path(adversarial), size)


@pytest.fixture
def others(tmp_path, album):
    """Return a folder with the images of `album`, each upside down, as another tool may have left them."""
    for photo in album.iterdir():
        image = read_image(photo).flip(1)
        (tmp_path / "others" / photo.name).parent.mkdir(exist_ok=True)
        (tmp_path / "others" / photo.name).write_bytes(encode_png(image))
    return tmp_path / "others"


@pytest.fixture
def measure(tmp_path, tiny):
    """Return what measures images in a run by two classifiers."""

    def measure(images: ExternalImages) -> tuple[RunFolder, list[int]]:
        run = RunFolder(tmp_path / "run")
        (tmp_path / "run").mkdir()
        classifiers = [load_classifier(f"{tiny}:{name}") for name in ("factory", "other")]
        return run, list(images.measure(run, classifiers, ["bits4"], None))

    return measure


# Pairs


def test_pairs_have_the_same_name_in_another_normal_form(tmp_path, make_photo):
    """As one of the folders comes from a Mac."""
    make_photo(tmp_path / "clean/Zo\u00eb.png")
    make_photo(tmp_path / "other/Zoe\u0308.png")
    assert len(external(tmp_path / "clean", tmp_path / "other").pairs) == 1


def test_pairs_have_the_same_name_whatever_their_kind(tmp_path, make_photo):
    """Subfolders count, suffixes do not; names in the run are those of the originals."""
    clean = [make_photo(tmp_path / "clean" / name) for name in ("cat.png", "a/cat.png", "dog.jpg", "lone.png")]
    other = [make_photo(tmp_path / "other" / name) for name in ("cat.bmp", "a/cat.png", "dog.png")]
    images = external(tmp_path / "clean", tmp_path / "other")
    pairs = {str(photo.path): str(path) for photo, path in images.pairs}
    assert pairs == dict(zip(map(str, clean[:3]), map(str, other), strict=True))
    assert images.unpaired == 1
    assert len({photo.name for photo, _ in images.pairs}) == 3


def test_pairs_as_protect_names_them(tmp_path, make_photo):
    for name in ("clean/a.bmp", "clean/a.jpg", "other/a.bmp.jpg", "other/a.jpg"):
        make_photo(tmp_path / name)
    images = external(tmp_path / "clean", tmp_path / "other")
    assert {photo.key: path.name for photo, path in images.pairs} == {"a.bmp": "a.bmp.jpg", "a.jpg": "a.jpg"}


def test_labels_come_with_the_originals(album, others, measure):
    (album / "labels.csv").write_text("file,label\n1.png,4\n3.png,0\n")
    images = external(album, others, labels=album / "labels.csv", num_classes=5)
    expected = {"1": 4, "3": 0}
    assert {photo.name: photo.label for photo, _ in images.pairs if photo.label is not None} == expected
    run, _ = measure(images)
    assert {r.image: r.label for r in run.records() if r.label is not None} == expected


def lose(folder):
    (folder / "stray.png").write_bytes((folder / "0.png").read_bytes())


def double(folder):
    (folder / "0.bmp").write_bytes((folder / "0.png").read_bytes())


def leave_empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def make_file(folder):
    shutil.rmtree(folder)
    folder.write_bytes(b"")


REFUSED = {
    "image without original": ("others", lose, r"1 of 7 images in .*others have no original .* in .*album: stray$"),
    "two images": ("others", double, r"others/0\.bmp and .*others/0\.png have the same name"),
    "two originals": ("album", double, r"album/0\.bmp and .*album/0\.png have the same name"),
    "no images": ("others", leave_empty, r"no image files in the folder '.*others'"),
    "no originals": ("album", leave_empty, r"no image files in the folder '.*album'"),
    "missing folder": ("others", shutil.rmtree, r"others is not a folder"),
    "missing folder of originals": ("album", shutil.rmtree, r"album is not a folder"),
    "file for a folder": ("others", make_file, r"others is not a folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_do_not_fit_are_refused(tmp_path, album, others, case):
    name, harm, message = REFUSED[case]
    harm(tmp_path / name)
    with pytest.raises(UsageError, match=message):
        external(album, others)


def test_only_the_first_stray_images_are_named(album, others):
    for k in range(9):
        (others / f"stray{k}.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"9 of 15 images .*: stray0, stray1, stray2, \.\.\.$"):
        external(album, others)


# Records


@torch.no_grad()
def test_records_say_what_the_files_hold(album, others, measure, tiny):
    images = external(album, others)
    run, steps = measure(images)
    assert sum(steps) == 2 * 6 + 2 * 6 + 6  # taken in, measured, and the originals
    classifiers = {c.fingerprint: c for c in (load_classifier(f"{tiny}:{name}") for name in ("factory", "other"))}
    records, qualities = run.records(), {line.key: line for line in run.qualities()}
    assert len(records) == 12
    assert 0 < sum(r.success for r in records) < 12, "the test needs both"
    for record in records:
        classifier = classifiers[run.cells()[record.cell].fingerprint]
        original, adversarial = (read_image(folder / f"{record.image}.png")[None] for folder in (album, others))
        before, after = (classifier(image).softmax(1)[0] for image in (original, adversarial))
        assert (record.original_class, record.adversarial_class) == (before.argmax(), after.argmax())
        assert record.original_name == classifier.classes[record.original_class]
        assert record.adversarial_name == classifier.classes[record.adversarial_class]
        assert record.original_probability == pytest.approx(before.max().item(), rel=1e-4)
        assert record.adversarial_probability == pytest.approx(after.max().item(), rel=1e-4)
        assert record.success == record.success_float == (record.original_class != record.adversarial_class)
        assert qualities[record.key].psnr == pytest.approx(psnr(adversarial, original).item(), rel=1e-5)
        assert qualities[record.key].ssim == pytest.approx(ssim(adversarial, original).item(), rel=1e-5)
        assert (record.width, record.height) == (36, 32)
        assert record.source == str(others / f"{record.image}.png")
        assert (record.method, record.error, record.iterations, record.seconds) == ("others", None, None, None)
        for kind, image in (("originals", original), (record.kind, adversarial)):
            assert torch.equal(read_image(run.image_path(kind, record)), image[0])


def test_originals_are_resized_as_asked(album, others, measure):
    for path in others.iterdir():
        path.write_bytes(encode_png(resize_image(read_image(path), 24)))
    run, _ = measure(external(album, others, 24))
    assert {(r.width, r.height, r.error) for r in run.records()} == {(24, 24, None)}
    assert {cell.size for cell in run.cells().values()} == {24}


def test_what_cannot_be_read_or_paired_is_an_error(album, others, measure, make_photo):
    (others / "0.png").write_text("no image")
    (album / "1.png").write_text("no image")
    make_photo(others / "2.png", width=40)
    run, _ = measure(external(album, others))
    errors = {r.image: r.error for r in run.records() if r.error}
    assert set(errors) == {"0", "1", "2"}
    assert errors["0"].startswith("not an image")
    assert errors["1"].startswith(f"its original {album / '1.png'}: not an image")
    assert errors["2"] == "the original has 36x32 pixels, the adversarial image 40x32; set size"
    assert {r.image for r in run.records() if not r.error} == {"3", "4", "5"}
    assert {line.image for line in run.predictions()} == {"3", "4", "5"}


def test_equal_images_fool_no_classifier(album, measure):
    run, _ = measure(external(album, album))
    assert not any(r.success for r in run.records())
    assert {(line.psnr, line.linf) for line in run.qualities()} == {(float("inf"), 0.0)}


def test_a_folder_whose_name_is_not_utf8(tmp_path, album, others, measure):
    odd = os.path.join(os.fsencode(tmp_path), b"odd\xff\x1b[31m")
    try:
        shutil.copytree(others, os.fsdecode(odd))
    except OSError:
        pytest.skip("this file system takes only tame names")
    run, _ = measure(external(album, Path(os.fsdecode(odd))))
    assert {r.method for r in run.records()} == {"odd\\xff\x1b[31m"}
    assert all(r.cell.isprintable() and r.cell.startswith("originals/odd") for r in run.records())
    assert len(run.predictions()) == (2 * 6 + 6) * 2
