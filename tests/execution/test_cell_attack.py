"""What is written down of good photos and of bad ones, whatever other images are in the batch."""

import hashlib
import io
import math
import os
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image

from edgefool.attacks import METHODS, EdgeFool
from edgefool.classifiers import load_classifier
from edgefool.datasets import find_photos
from edgefool.errors import AttackError, UsageError
from edgefool.execution import image_seed
from edgefool.execution.cell_attack import CellAttack
from edgefool.filters import l0_smooth, texture_mask
from edgefool.images import read_image, resize_image
from edgefool.metrics import changed_pixels, ciede2000, linf, psnr, smooth_delta_e, ssim
from edgefool.runs import Cell, RunFolder
from edgefool.runs.records import source_text
from edgefool.storage import LocalStore

PROMISED = [
    "image",
    "method",
    "classifier",
    "original_class",
    "original_probability",
    "adversarial_class",
    "adversarial_probability",
    "success",
    "converged",
    "iterations",
    "seconds",
    "smoothing_loss",
    "psnr",
    "ssim",
    "error",
]


# Good photos


def test_records_say_what_the_files_hold(tmp_path, tiny, photos, attack_photos):
    frame = attack_photos(photos)
    assert set(PROMISED) <= set(frame)
    assert frame["image"].tolist() == [photo.stem for photo in photos]
    assert 0 < frame["success"].sum() < 6, "the test needs both"
    assert frame["success"].dtype == frame["converged"].dtype == bool
    assert frame["original_class"].dtype == frame["seed"].dtype == "Int64"
    assert frame["error"].isna().all()
    assert (frame["seconds"] > 0).all()
    assert frame["iterations"].between(1, 3).all()
    classifier = load_classifier(f"{tiny}:factory")
    qualities = {line.image: line for line in RunFolder(tmp_path / "run").qualities()}
    for photo, row in zip(photos, frame.itertuples(), strict=True):
        original = resize_image(read_image(photo), 32)
        kept = read_image(tmp_path / "run/originals/photos" / f"{row.image}.png")
        assert torch.equal(kept, original)
        probabilities = classifier(original[None]).softmax(1)[0]
        assert row.original_class == probabilities.argmax()
        assert row.original_probability == pytest.approx(probabilities.max().item(), rel=1e-4)
        paths = {
            kind: tmp_path / "run" / kind / "photos/edgefool/classifier-factory" / f"{row.image}.png"
            for kind in ("images", "failures", "structure")
        }
        there = [kind for kind, path in paths.items() if path.exists()]
        assert there == (["images", "structure"] if row.success else ["failures"])
        assert row.success == (row.adversarial_class != row.original_class)
        assert not row.converged or (row.success and row.smoothing_loss < 0.01)
        adversarial = read_image(paths[there[0]])
        probabilities = classifier(adversarial[None]).softmax(1)[0]
        assert row.adversarial_class == probabilities.argmax()
        assert row.adversarial_probability == pytest.approx(probabilities.max().item(), rel=1e-4)
        for distance in (psnr, ssim, ciede2000, linf, changed_pixels):
            value = getattr(qualities[row.image], distance.__name__)
            assert value == pytest.approx(float(distance(adversarial[None], original[None])), rel=1e-5)
        smooth = float(smooth_delta_e(adversarial[None], original[None]))
        assert (qualities[row.image].smooth_delta_e or math.nan) == pytest.approx(smooth, rel=1e-5, nan_ok=True)
        originals = tmp_path / "run/originals/photos" / f"{row.image}.png"
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (originals, paths[there[0]])]
        assert [row.original_png, row.png] == hashes
        assert qualities[row.image].png == row.png


def test_images_that_never_succeed_are_kept_apart(tmp_path, photos, attack_photos):
    frame = attack_photos(photos[:2], classifier="stubborn")
    assert not frame[["success", "success_float", "converged"]].any(axis=None)
    assert frame["iterations"].tolist() == [3, 3]
    assert not (tmp_path / "run/images").exists()
    assert len(list((tmp_path / "run/failures").rglob("*.png"))) == 2


def test_batch_and_order_change_nothing(tmp_path, photos, attack_photos):
    """Beyond round-off: the numbers agree to 1e-3 and the images to a grey level."""
    given = {"alone": (photos, 1), "four": (photos, 4), "back": (photos[::-1], 4)}
    frames = {name: attack_photos(order, name, batch_size=size) for name, (order, size) in given.items()}
    for name in ("four", "back"):
        tables = [frames[which].drop(columns=["seconds", "png", "structure_png"]) for which in (name, "alone")]
        pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-3)
        for file in (tmp_path / "alone").rglob("*.png"):
            other = read_image(tmp_path / name / file.relative_to(tmp_path / "alone"))
            assert (other - read_image(file)).abs().max() <= 1.01 / 255


def test_seeds_differ_between_photos_and_runs(photos, attack_photos):
    seeds = []
    for seed in (0, 1):
        frame = attack_photos(photos[:2], str(seed), seed=seed)
        assert frame["seed"].tolist() == [image_seed(seed, digest) for digest in frame["sha256"]]
        seeds += frame["seed"].tolist()
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_native_sizes_in_one_run(tmp_path, make_photo, attack_photos):
    sizes = [(36, 32), (36, 32), (20, 50), (36, 32), (16, 16), (51, 33)]
    given = [make_photo(tmp_path / f"{k}.png", k, *size) for k, size in enumerate(sizes)]
    frame = attack_photos(given, size="native")
    assert list(zip(frame["width"], frame["height"], strict=True)) == sizes
    for photo, size in zip(given, sizes, strict=True):
        with Image.open(tmp_path / "run/originals/photos" / photo.name) as image:
            assert image.size == size


def test_an_attack_that_fails_names_itself(photos, attack_photos, monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel\nand more")

    monkeypatch.setattr(EdgeFool, "step", fail)
    with pytest.raises(AttackError, match=r"^edgefool on classifier-factory failed: no kernel$"):
        attack_photos(photos)


@pytest.mark.parametrize("error", [RuntimeError("no memory\nand more"), SystemExit("no memory")])
def test_a_classifier_that_fails_in_the_judge_is_named(photos, attack_photos, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("edgefool.execution.cell_attack.judge", fail)
    with pytest.raises(AttackError, match=r"^edgefool on classifier-factory failed: no memory$"):
        attack_photos(photos)


# Bad photos


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def damaged(good: bytes) -> dict[str, bytes]:
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    middle = len(good) // 2
    return {
        "bomb": png_of_size(60_000, 60_000),
        "corrupt": good[:middle] + bytes(byte ^ 255 for byte in good[middle : middle + 40]) + good[middle + 40 :],
        "empty": b"",
        "pixel": pixel.getvalue(),
        "text": b"To whom it may concern\n",
        "truncated": good[:middle],
    }


def test_bad_photos_never_stop_the_others(tmp_path, photos, attack_photos):
    bad = damaged(photos[0].read_bytes())
    good = attack_photos(photos, "good")
    for name, data in bad.items():
        (tmp_path / "photos" / f"{name}.png").write_bytes(data)
    (tmp_path / "photos" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    frame = attack_photos([tmp_path / "photos"])
    errors = frame.set_index("image")["error"].dropna()
    assert sorted(errors.index) == sorted([*bad, "gone", "pipe"])
    assert not errors.str.contains("\n").any()
    assert frame["seed"].dtype == "Int64", "as a float it would be another seed"
    assert frame["seed"].isna().sum() == frame["psnr"].isna().sum() == 8
    assert "empty" in errors["empty"]
    assert "1x1" in errors["pixel"]
    assert "100,000,000" in errors["bomb"]
    assert "not an image" in errors["text"]
    assert "No such file" in errors["gone"]
    assert "not a regular file" in errors["pipe"]
    assert not frame.set_index("image").loc[errors.index, "success"].any()
    columns = ["image", "adversarial_class", "success"]
    pd.testing.assert_frame_equal(frame[frame["error"].isna()].reset_index(drop=True)[columns], good[columns])


def test_errors_are_tried_again_on_request_only(tmp_path, photos, make_photo, attack_photos):
    photos[1].write_bytes(b"")
    assert attack_photos(photos[:2])["error"].notna().sum() == 1
    make_photo(photos[1], 1)
    assert attack_photos(photos[:2])["error"].notna().sum() == 1
    frame = attack_photos(photos[:2], retry=True)
    assert frame["image"].tolist() == ["0", "1"]
    assert frame["error"].isna().all()
    assert len((tmp_path / "run/records.jsonl").read_text().splitlines()) == 3


def test_photo_without_permission(photos, attack_photos, monkeypatch):
    """Root may read everything, so the refusal is made up."""
    genuine = LocalStore.read

    def refuse(store, key):
        if key == str(photos[0]):
            raise PermissionError(13, "Permission denied", key)
        return genuine(store, key)

    monkeypatch.setattr(LocalStore, "read", refuse)
    errors = attack_photos(photos[:2]).set_index("image")["error"]
    assert errors["0"] == "cannot be read: Permission denied"
    assert errors.isna()["1"]


def test_all_photos_bad(tmp_path, attack_photos):
    (tmp_path / "a.png").touch()
    for _ in range(2):
        assert len(attack_photos([tmp_path / "a.png"])) == 1


def test_classifier_that_refuses_some_sizes(tmp_path, make_photo, attack_photos):
    given = [make_photo(tmp_path / f"{height}.png", height, 36, height) for height in (32, 40, 48, 56)]
    errors = attack_photos(given, size="native", classifier="choosy").set_index("image")["error"]
    assert errors["40"] == "classifier-choosy cannot take 36 x 40 pixels: no 40, please"
    assert errors["48"] == "the logits of classifier-choosy for it are not finite numbers"
    assert errors.isna()[["32", "56"]].all()


def test_attack_that_diverges_is_an_error_of_its_photo(photos, attack_photos):
    frame = attack_photos(photos, constants={"start": "identity", "max_iterations": 3, "learning_rate": 1e30})
    assert len(frame) == 6
    assert frame["error"].dropna().str.startswith("the attack diverged").all()
    assert frame["error"].notna().any()


def test_image_too_large_for_the_memory(photos, attack_photos, monkeypatch):
    free = 1.25 * 1.5 * EdgeFool().least_bytes_per_pixel * 32 * 32  # four fifths of it may be used
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert "use a smaller batch_size or size" in attack_photos(photos[:1], batch_size=2)["error"][0]
    assert attack_photos(photos[:1], batch_size=1, retry=True)["error"].isna().all()


@pytest.mark.parametrize(("share", "fits"), [(1.0, True), (0.5, False)])
def test_only_with_all_the_memory_an_attack_may_save_some(tmp_path, tiny, photos, monkeypatch, share, fits):
    """With a share, it could not tell that its share is used up."""
    free = 1.25 * 1.5 * EdgeFool().least_bytes_per_pixel * 32 * 32 / share
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    (photo,), classifier = find_photos([photos[0]]), load_classifier(f"{tiny}:factory")
    cell = Cell(
        dataset="pics",
        method="edgefool",
        constants={},
        fingerprint=classifier.fingerprint,
        size=32,
        seed=0,
        label="edgefool",
        classifier=classifier.name,
        num_classes=5,
    )
    outcomes = []
    with ThreadPoolExecutor(1) as pool:
        attack = CellAttack(
            RunFolder(tmp_path / "run"),
            "pics/edgefool/tiny",
            cell,
            classifier,
            EdgeFool(max_iterations=1),
            1,
            pool,
            lambda outcome, files: outcomes.append(outcome),
            memory_share=share,
        )
        attack.admit(photo)
        while len(attack):
            attack.step()
    ((record, _, _),) = outcomes
    assert (record.error is None) == fits


# Every method

QUICK = {
    "edgefool": {"max_iterations": 2},
    "pfgsm": {"max_iterations": 3},
    "sparsefool": {"max_iterations": 2},
    "cw": {"max_iterations": 3, "binary_search_steps": 2},
    "semanticadv": {"trials": 5},
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_runs_resumes_and_says_what_it_spent(tmp_path, photos, attack_photos, method):
    frame = attack_photos(photos[:3], method=method, constants=QUICK.get(method, {}))
    records = (tmp_path / "run/records.jsonl").read_bytes()
    assert frame["error"].isna().all()
    assert (frame["method"] == method).all()
    assert (frame["forward_passes"] > 1).all()
    assert frame["smoothing_loss"].notna().all() == method.endswith("edgefool")
    for row in frame.itertuples():
        folders = ("images", "failures", "structure", "mask")
        kinds = [kind for kind in folders if list((tmp_path / "run" / kind).rglob(f"{row.image}.png"))]
        intermediates = {"edgefool": ["structure"], "enhance": ["structure"], "robust-edgefool": ["structure", "mask"]}
        expected = intermediates.get(method, []) if row.success else []
        assert kinds == ["images" if row.success else "failures", *expected]
    attack_photos(photos[:3], method=method, constants=QUICK.get(method, {}))
    assert (tmp_path / "run/records.jsonl").read_bytes() == records


def test_the_mask_is_grey_and_scaled_to_its_maximum(tmp_path, photos, attack_photos):
    attack_photos(photos[:3], method="robust-edgefool", constants={"strength": 15.0, "tau": 0.02})
    record = next(record for record in RunFolder(tmp_path / "run").records() if record.success)
    file = Path(str(RunFolder(tmp_path / "run").image_path("mask", record)))
    assert record.mask_png == hashlib.sha256(file.read_bytes()).hexdigest()
    with Image.open(file) as image:
        assert image.mode == "L"
        pixels = np.asarray(image) / 255
    original = read_image(tmp_path / "run/originals/photos" / f"{record.image}.png")[None]
    expected = texture_mask(original, l0_smooth(original), edges=(5 / 15) ** 1.75)[0, 0]
    assert np.abs(pixels - (expected / expected.max()).numpy()).max() <= 0.51 / 255
    assert pixels.max() == 1


def test_what_rounding_undid_is_in_the_record(photos, attack_photos):
    frame = attack_photos(photos, method="deepfool", constants={})
    assert frame["success_float"].all()
    assert not frame["success"].all(), "the test needs a photo that rounding brings back"


def test_a_lost_gradient_is_in_the_record(photos, attack_photos):
    frame = attack_photos(photos[:1], method="nfgsm", constants={}, classifier="stubborn")
    assert frame["lost_gradient"].tolist() == [True]


# Going on


def test_photos_can_be_added(tmp_path, photos, attack_photos):
    attack_photos(photos[:2])
    before = (tmp_path / "run/records.jsonl").read_bytes()
    frame = attack_photos(photos[::-1])
    assert (tmp_path / "run/records.jsonl").read_bytes().startswith(before)
    assert frame["image"].tolist() == [photo.stem for photo in photos]


def test_same_file_names_do_not_overwrite_each_other(tmp_path, make_photo, attack_photos):
    given = [make_photo(tmp_path / "photos" / folder / "cat.png", seed) for seed, folder in enumerate("ab")]
    for _ in range(2):
        attack_photos([tmp_path / "photos"])
    given.append(make_photo(tmp_path / "photos/c/cat.png", 2))
    frame = attack_photos([tmp_path / "photos"])
    assert frame["image"].nunique() == len(frame) == 3
    assert set(frame["source"]) == {"a/cat.png", "b/cat.png", "c/cat.png"}
    assert frame["sha256"].nunique() == 3
    assert len(list((tmp_path / "run/originals/photos").iterdir())) == 3


def test_changed_photo_is_refused(photos, make_photo, attack_photos):
    attack_photos(photos[:2])
    make_photo(photos[1], 77)
    with pytest.raises(UsageError, match=r"1\.png has changed since this run attacked it; name a new folder"):
        attack_photos(photos[:2])
    attack_photos(photos[:1])


def test_other_classifier_of_the_same_name_is_refused(tiny, photos, attack_photos):
    attack_photos(photos[:1])
    tiny.write_text(tiny.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    with pytest.raises(UsageError, match="fingerprint"):
        attack_photos(photos[:1])


def test_source_text_tells_names_that_are_not_utf8_apart():
    one, other = (os.fsdecode(b"/photos/caf\xc3\xa9" + byte) for byte in (b"\xff", b"\xfe"))
    assert source_text(one) == "/photos/café\\xff"
    assert source_text(other) == "/photos/café\\xfe"


def test_photo_whose_name_is_not_utf8_is_done_once(tmp_path, photos, attack_photos):
    folder = tmp_path / "odd"
    folder.mkdir()
    try:
        shutil.copy(photos[0], Path(os.fsdecode(os.fsencode(folder) + b"/caf\xff.png")))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    for _ in range(2):
        frame = attack_photos([folder])
    assert frame["source"].tolist() == ["caf\\xff.png"]
