"""What the executor writes down of good photos, of bad ones, and in whatever company."""

import hashlib
import io
import os
import shutil
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch
from PIL import Image

from edgefool.attacks import METHODS, EdgeFool
from edgefool.classifiers import load_classifier
from edgefool.datasets import Photo
from edgefool.errors import UsageError
from edgefool.execution import image_seed
from edgefool.execution.cell_attack import refuse_changed
from edgefool.images import read_image, resize_image
from edgefool.measures import psnr, ssim
from edgefool.runs import Record, load_records
from edgefool.runs.run_folder import source_text

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


@pytest.fixture
def photos(tmp_path, make_photo):
    """Return six photos, of which the tiny attack misleads some and not all."""
    return [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(6)]


def numbers(run: Path) -> pd.DataFrame:
    """Return records in the order of their names, without what each run measures anew."""
    return load_records(run).drop(columns="seconds").sort_values("image", ignore_index=True)


# Good photos


def test_records_say_what_the_files_hold(tmp_path, tiny, photos, attack):
    code, stdout, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 0
    frame = load_records(tmp_path / "run").sort_values("image", ignore_index=True)
    assert set(PROMISED) <= set(frame)
    assert frame["image"].tolist() == [photo.stem for photo in photos]
    assert 0 < frame["success"].sum() < 6, "the test needs both"
    assert frame["success"].dtype == frame["converged"].dtype == bool
    assert frame["original_class"].dtype == frame["seed"].dtype == "Int64"
    assert frame["error"].isna().all()
    assert (frame["seconds"] > 0).all()
    assert frame["iterations"].between(1, 3).all()
    assert f"{frame['success'].sum()} of 6 misled" in stdout
    assert "6/6" in stderr
    classifier = load_classifier(f"{tiny}:factory")
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
        assert row.psnr == pytest.approx(float(psnr(adversarial[None], original[None])), rel=1e-5)
        assert row.ssim == pytest.approx(float(ssim(adversarial[None], original[None])), rel=1e-5)
        originals = tmp_path / "run/originals/photos" / f"{row.image}.png"
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (originals, paths[there[0]])]
        assert [row.original_png, row.png] == hashes


def test_images_that_never_misled_are_kept_apart(tmp_path, tiny, photos, attack):
    code, stdout, _ = attack(*photos[:2], "--out", tmp_path / "run", "--classifier", f"{tiny}:stubborn")
    assert code == 0
    assert "0 of 2 misled, 0 of them converged, 0 errors" in stdout
    frame = load_records(tmp_path / "run")
    assert not frame[["success", "success_float", "converged"]].any(axis=None)
    assert frame["iterations"].tolist() == [3, 3]
    assert not (tmp_path / "run/images").exists()
    assert len(list((tmp_path / "run/failures").rglob("*.png"))) == 2


def test_batch_and_order_change_nothing(tmp_path, photos, attack):
    """Beyond round-off: the numbers agree to 1e-3 and the images to a grey level."""
    for name, given, batch_size in [("alone", photos, 1), ("four", photos, 4), ("back", photos[::-1], 4)]:
        attack(*given, "--out", tmp_path / name, "--batch-size", batch_size)
    alone = numbers(tmp_path / "alone")
    for name in ("four", "back"):
        pd.testing.assert_frame_equal(numbers(tmp_path / name), alone, rtol=1e-3, atol=1e-3)
        for file in (tmp_path / "alone").rglob("*.png"):
            other = read_image(tmp_path / name / file.relative_to(tmp_path / "alone"))
            assert (other - read_image(file)).abs().max() <= 1.01 / 255


def test_seeds_differ_between_photos_and_runs(tmp_path, photos, attack):
    seeds = []
    for seed in (0, 1):
        attack(*photos[:2], "--out", tmp_path / str(seed), "--seed", seed)
        frame = load_records(tmp_path / str(seed))
        assert frame["seed"].tolist() == [image_seed(seed, digest) for digest in frame["sha256"]]
        seeds += frame["seed"].tolist()
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_native_sizes_in_one_run(tmp_path, make_photo, attack):
    sizes = [(36, 32), (36, 32), (20, 50), (36, 32), (16, 16), (51, 33)]
    given = [make_photo(tmp_path / f"{k}.png", k, *size) for k, size in enumerate(sizes)]
    assert attack(*given, "--out", tmp_path / "run", "--size", "native")[0] == 0
    frame = load_records(tmp_path / "run").sort_values("image")
    assert list(zip(frame["width"], frame["height"], strict=True)) == sizes
    for photo, size in zip(given, sizes, strict=True):
        with Image.open(tmp_path / "run/originals/photos" / photo.name) as image:
            assert image.size == size


def test_an_attack_that_fails_is_told_in_a_line(tmp_path, photos, attack, monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel\nand more")

    monkeypatch.setattr(EdgeFool, "step", fail)
    code, _, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 1
    assert stderr.splitlines()[-1] == "error: edgefool on classifier-factory failed: no kernel"


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


def test_bad_photos_never_stop_the_others(tmp_path, photos, attack):
    bad = damaged(photos[0].read_bytes())
    for name, data in bad.items():
        (tmp_path / "photos" / f"{name}.png").write_bytes(data)
    (tmp_path / "photos" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    attack(*photos, "--out", tmp_path / "good")
    code, stdout, stderr = attack(tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 1
    assert "8 errors" in stdout
    frame = load_records(tmp_path / "run").set_index("image")
    errors = frame["error"].dropna()
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
    assert not frame.loc[errors.index, "success"].any()
    for name, error in errors.items():
        assert f"photos/{name}.png: {error}" in stderr or name == "gone"
    columns = ["image", "adversarial_class", "success"]
    good = numbers(tmp_path / "run")
    good = good[good["error"].isna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(good[columns], numbers(tmp_path / "good")[columns])


def test_errors_are_tried_again_on_request_only(tmp_path, photos, make_photo, attack):
    photos[1].write_bytes(b"")
    assert attack(*photos[:2], "--out", tmp_path / "run")[0] == 1
    make_photo(photos[1], 1)
    assert attack(*photos[:2], "--out", tmp_path / "run")[0] == 1
    assert attack(*photos[:2], "--out", tmp_path / "run", "--retry")[0] == 0
    frame = load_records(tmp_path / "run")
    assert sorted(frame["image"]) == ["0", "1"]
    assert frame["error"].isna().all()
    assert len((tmp_path / "run/records.jsonl").read_text().splitlines()) == 3


def test_photo_without_permission(tmp_path, photos, attack, monkeypatch):
    """Root may read everything, so the refusal is made up."""
    genuine = Path.open

    def refuse(path, *arguments, **keywords):
        if path.name == "0.png" and path.parent.name == "photos":
            raise PermissionError(13, "Permission denied", str(path))
        return genuine(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", refuse)
    assert attack(*photos[:2], "--out", tmp_path / "run")[0] == 1
    errors = load_records(tmp_path / "run").set_index("image")["error"]
    assert errors["0"] == "cannot be read: Permission denied"
    assert errors.isna()["1"]


def test_all_photos_bad(tmp_path, attack):
    (tmp_path / "a.png").touch()
    assert attack(tmp_path / "a.png", "--out", tmp_path / "run")[0] == 1
    assert attack(tmp_path / "a.png", "--out", tmp_path / "run")[0] == 1
    assert len(load_records(tmp_path / "run")) == 1


def test_classifier_that_refuses_some_sizes(tmp_path, tiny, make_photo, attack):
    given = [make_photo(tmp_path / f"{height}.png", height, 36, height) for height in (32, 40, 48, 56)]
    code, *_ = attack(*given, "--out", tmp_path / "run", "--size", "native", "--classifier", f"{tiny}:choosy")
    assert code == 1
    errors = load_records(tmp_path / "run").set_index("image")["error"]
    assert errors["40"] == "the classifier cannot take 36 x 40 pixels: no 40, please"
    assert errors["48"] == "the classifier's logits for it are not finite numbers"
    assert errors.isna()[["32", "56"]].all()


def test_attack_that_diverges_is_an_error_of_its_photo(tmp_path, photos, attack):
    code, *_ = attack(*photos, "--out", tmp_path / "run", "--set", "learning_rate=1e30")
    assert code == 1
    frame = load_records(tmp_path / "run")
    assert len(frame) == 6
    assert frame["error"].dropna().str.startswith("the attack diverged").all()
    assert frame["error"].notna().any()


def test_image_too_large_for_the_memory(tmp_path, photos, attack, monkeypatch):
    free = 1.25 * 1.5 * EdgeFool.bytes_per_pixel * 32 * 32  # four fifths of it may be used
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert attack(photos[0], "--out", tmp_path / "run", "--batch-size", 2)[0] == 1
    assert "use a smaller batch_size or size" in load_records(tmp_path / "run")["error"][0]
    assert attack(photos[0], "--out", tmp_path / "run", "--batch-size", 1, "--retry")[0] == 0


# Every method

QUICK = {
    "edgefool": ["max_iterations=2"],
    "pfgsm": ["max_iterations=3"],
    "sparsefool": ["max_iterations=2"],
    "cw": ["max_iterations=3", "binary_search_steps=2"],
    "semanticadv": ["trials=5"],
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_runs_resumes_and_says_what_it_spent(tmp_path, tiny, photos, edgefool, method):
    command = ["attack", *photos[:3], "--classifier", f"{tiny}:factory", "--size", 32, "--method", method]
    command += ["--out", tmp_path / "run"]
    for constant in QUICK.get(method, []):
        command += ["--set", constant]
    assert edgefool(*command)[0] == 0
    records = (tmp_path / "run/records.jsonl").read_bytes()
    frame = load_records(tmp_path / "run")
    assert (frame["method"] == method).all()
    assert (frame["forward_passes"] > 1).all()
    assert frame["smoothing_loss"].notna().all() == (method == "edgefool")
    for row in frame.itertuples():
        kinds = [
            k for k in ("images", "failures", "structure") if list((tmp_path / "run" / k).rglob(f"{row.image}.png"))
        ]
        has_structure = method in ("edgefool", "enhance") and row.success
        assert kinds == ["images" if row.success else "failures"] + ["structure"] * has_structure
    assert edgefool(*command)[0] == 0
    assert (tmp_path / "run/records.jsonl").read_bytes() == records


def test_what_rounding_undid_is_told(tmp_path, tiny, photos, edgefool):
    command = ["attack", *photos, "--classifier", f"{tiny}:factory", "--size", 32, "--method", "deepfool"]
    _, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    frame = load_records(tmp_path / "run")
    assert frame["success_float"].all()
    assert not frame["success"].all(), "the test needs a photo that rounding brings back"
    assert "6 were misled before rounding to 8 bits" in stdout


def test_a_lost_gradient_is_in_the_record_and_told(tmp_path, tiny, photos, edgefool):
    command = ["attack", photos[0], "--classifier", f"{tiny}:stubborn", "--size", 32, "--method", "nfgsm"]
    code, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert code == 0
    assert load_records(tmp_path / "run")["lost_gradient"].tolist() == [True]
    assert "1 met a gradient that was zero or not finite" in stdout


# Going on


def test_photos_can_be_added(tmp_path, photos, attack):
    run = tmp_path / "run"
    attack(*photos[:2], "--out", run)
    before = (run / "records.jsonl").read_bytes()
    assert attack(*photos[::-1], "--out", run)[0] == 0
    assert (run / "records.jsonl").read_bytes().startswith(before)
    assert sorted(load_records(run)["image"]) == [photo.stem for photo in photos]


def test_same_file_names_do_not_overwrite_each_other(tmp_path, make_photo, attack):
    given = [make_photo(tmp_path / folder / "cat.png", seed) for seed, folder in enumerate(["a", "b"])]
    for _ in range(2):
        assert attack(*given, "--out", tmp_path / "run")[0] == 0
    third = make_photo(tmp_path / "c" / "cat.png", 2)
    assert attack(*given, third, "--out", tmp_path / "run")[0] == 0
    frame = load_records(tmp_path / "run")
    assert frame["image"].nunique() == len(frame) == 3
    assert set(frame["source"]) == {str(path) for path in [*given, third]}
    assert frame["sha256"].nunique() == 3
    assert len(list((tmp_path / "run/originals/photos").iterdir())) == 3


def test_changed_photo_is_refused(tmp_path, photos, make_photo, attack):
    attack(*photos[:2], "--out", tmp_path / "run")
    make_photo(photos[1], 77)
    code, _, stderr = attack(*photos[:2], "--out", tmp_path / "run")
    assert code == 2
    assert f"{photos[1]} has changed since this run attacked it; name a new folder" in stderr
    assert attack(photos[0], "--out", tmp_path / "run")[0] == 0


def test_photo_that_is_done_need_not_be_readable(tmp_path, photos):
    moved = tmp_path / "photos" / "moved.png"
    record = Record(
        cell="photos/edgefool/tiny", dataset="photos", image="moved", source=str(moved), sha256="00", method="edgefool",
        classifier="tiny",
    )  # fmt: skip
    refuse_changed([Photo(moved, "moved")], {"moved": record})
    shutil.copy(photos[0], moved)
    with pytest.raises(UsageError, match="has changed"):
        refuse_changed([Photo(moved, "moved")], {"moved": record})


def test_other_classifier_of_the_same_name_is_refused(tmp_path, tiny, photos, attack):
    attack(photos[0], "--out", tmp_path / "run")
    tiny.write_text(tiny.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    code, _, stderr = attack(photos[0], "--out", tmp_path / "run")
    assert code == 2
    assert "fingerprint" in stderr


def test_source_text_tells_names_that_are_not_utf8_apart():
    one, other = (Path(os.fsdecode(b"/photos/caf\xc3\xa9" + byte)) for byte in (b"\xff", b"\xfe"))
    assert source_text(one) == "/photos/café\\xff"
    assert source_text(other) == "/photos/café\\xfe"


def test_photo_whose_name_is_not_utf8_is_done_once(tmp_path, photos, attack):
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xff.png"))
    try:
        shutil.copy(photos[0], name)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    for _ in range(2):
        assert attack(name, "--out", tmp_path / "run")[0] == 0
    frame = load_records(tmp_path / "run")
    assert frame["source"].tolist() == [f"{tmp_path}/caf\\xff.png"]
