"""`edgefool attack`: what it prints, what it refuses, and that Python and the command line agree."""

import struct
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import edgefool as package
from edgefool.classifiers.class_names import DATA
from edgefool.datasets.demo import write_demo_photos
from edgefool.runs import RunFolder, load_records


@pytest.fixture
def photo(tmp_path, make_photo):
    return make_photo(tmp_path / "cat.png")


@pytest.fixture
def photos(tmp_path, make_photo):
    """Return six photos; the tiny attack succeeds on some and not all."""
    return [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(6)]


def test_successes_are_counted(tmp_path, tiny, photos, attack):
    code, stdout, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 0
    assert f"{load_records(tmp_path / 'run')['success'].sum()} of 6 photos fool the classifier" in stdout
    assert "6/6" in stderr
    _, stdout, _ = attack(*photos[:2], "--out", tmp_path / "other", "--classifier", f"{tiny}:stubborn")
    assert "0 of 2 photos fool the classifier, 0 of them converged, 0 errors" in stdout


def test_bad_photos_are_named(tmp_path, photos, attack):
    (tmp_path / "photos/text.png").write_bytes(b"To whom it may concern\n")
    (tmp_path / "photos/empty.png").touch()
    code, stdout, stderr = attack(tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 1
    assert "2 errors" in stdout
    errors = load_records(tmp_path / "run").set_index("image")["error"].dropna()
    assert len(errors) == 2
    for name, error in errors.items():
        assert f"{name}.png: {error}" in stderr


def test_a_photo_that_is_read_with_a_warning_is_noted(tmp_path, photos, attack, capsys):
    data = bytearray(photos[0].read_bytes())
    name = b"tEXtComment\0hello"
    data[33:33] = struct.pack(">I", len(name) - 4) + name + bytes(4)  # a wrong checksum, behind the header
    photos[0].write_bytes(data)
    code, _, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 0
    assert "note: 0.png: its chunk tEXt has a wrong checksum" in stderr
    assert stderr.count("note") == 1
    assert "note" not in attack(*photos, "--out", tmp_path / "run")[2], "nothing is read again"


def test_photos_of_a_folder_that_cannot_be_read_are_noted(tmp_path, photos, attack):
    for name in ("IMG_1.NEF", "IMG_2.dng"):
        (tmp_path / "photos" / name).touch()
    code, stdout, stderr = attack(tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 0
    assert "of 6 photos" in stdout
    assert f"note: photos in '{tmp_path / 'photos'}' that cannot be read: 2 camera raw (convert to JPEG" in stderr
    assert stderr.count("note") == 1
    assert attack(tmp_path / "photos", "--out", tmp_path / "run")[2].count("note") == 1, "found twice"


def test_the_limit_of_pixels_is_an_option_that_the_error_names(tmp_path, attack):
    Image.new("RGB", (1100, 1000), "red").save(tmp_path / "large.png")
    command = [tmp_path / "large.png", "--out", tmp_path / "run"]
    code, stdout, stderr = attack(*command, "--max-megapixels", 1)
    assert code == 1
    for text in (stdout, stderr):
        assert "more than 1,000,000 are read only with a larger --max-megapixels, here 2" in " ".join(text.split())
    (error,) = load_records(tmp_path / "run")["error"]
    assert "a larger max_megapixels, here 2" in error
    assert attack(*command, "--max-megapixels", 2, "--retry")[0] == 0


def test_what_rounding_undid_is_counted(tmp_path, tiny, photos, edgefool):
    command = ["attack", *photos, "--classifier", f"{tiny}:factory", "--size", 32, "--method", "deepfool"]
    _, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert "6 fooled it before rounding to 8 bits" in stdout


def test_lost_gradients_are_counted(tmp_path, tiny, photos, edgefool):
    command = ["attack", photos[0], "--classifier", f"{tiny}:stubborn", "--size", 32, "--method", "nfgsm"]
    code, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert code == 0
    assert "1 met a gradient that was zero or not finite" in stdout


WRONG = {
    "method": (["--method", "edgefol"], "unknown method 'edgefol'; did you mean edgefool"),
    "classifier": (["--classifier", "resnet5"], "unknown classifier 'resnet5'; did you mean resnet50"),
    "field": (["--set", "alfa=1"], "unknown field of edgefool 'alfa'; did you mean alpha"),
    "field without value": (["--set", "alpha"], "--set alpha: must be FIELD=VALUE"),
    "size": (["--size", "large"], "--size large: must be native or a number of pixels"),
    "device": (["--device", "tpu9"], "--device tpu9 is not available here"),
    "workers": (["--workers", "2", "--executor", "local"], "--workers and --cores need --executor ray"),
    "weights": (["--classifier", "resnet18", "--weights", "none.pth"], "none.pth"),
    "class names": (["--classes", "none.txt"], "none.txt"),
    "photo": (["dog.png"], "/dog.png'"),
    "markup and control": (["--set", "[red]\x1b[31m\n\r\x07=1"], "unknown field of edgefool '[red]"),
    "file for a folder": (["--out", __file__], "is a file"),
    "folder of something else": (["--out", str(Path(__file__).parent)], "is not a run and not empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line(tmp_path, photo, tiny, refuse, case):
    options, message = WRONG[case]
    command = ["attack", photo, "--out", tmp_path / "run", "--classifier", f"{tiny}:factory", "--size", 32]
    refuse(*command, *options, because=message)
    assert not (tmp_path / "run").exists()


def test_run_with_other_settings_is_refused(tmp_path, photo, tiny, attack, refuse):
    out = ["--out", tmp_path / "run"]
    assert attack(photo, *out)[0] == 0
    before = (tmp_path / "run/records.jsonl").read_bytes()
    quick = ["--classifier", f"{tiny}:factory", "--set", "start=identity", "--set", "max_iterations=3"]
    refuse(
        *("attack", photo, *out, *quick, "--set", "tau=0.01", "--set", "alpha=5", "--seed", 1, "--size", "native"),
        because="(size: 32 there, native now; seed: 0 there, 1 now; alpha: 10.0 there, 5.0 now); name a new",
    )
    assert attack(photo, *out, "--set", "alpha=1e1", "--batch-size", 2, "--device", "cpu")[0] == 0
    assert (tmp_path / "run/records.jsonl").read_bytes() == before


def test_a_run_of_another_classifier_names_the_option_that_continues_it(tmp_path, photo, tiny, edgefool, refuse):
    """As a run of 0.1.0 with its default classifier."""
    quick = ["--set", "start=identity", "--set", "max_iterations=3", "--set", "tau=0.01", "--size", 32]
    command = ["attack", photo, "--out", tmp_path / "run", *quick]
    assert edgefool(*command, "--classifier", f"{tiny}:factory")[0] == 0
    before = (tmp_path / "run/records.jsonl").read_bytes()
    refuse(*command, because=f"was made with another classifier; continue it with --classifier {tiny}:factory, or name")
    assert (tmp_path / "run/records.jsonl").read_bytes() == before
    refuse(*command, "--seed", 1, because="was made with other settings")


def test_run_among_the_photos_is_refused(tmp_path, make_photo, attack, tiny, refuse):
    """Otherwise the run's own images would be attacked when it is resumed."""
    photos = tmp_path / "photos"
    make_photo(photos / "cat.png")
    command = ["attack", "--classifier", f"{tiny}:factory", "--size", 32]
    refuse(*command, photos, "--out", photos / "run", because="is inside a folder of photos")
    assert not (photos / "run").exists()
    assert attack(photos, "--out", tmp_path / "photos-run")[0] == 0
    originals = tmp_path / "photos-run/originals"
    refuse(*command, originals, "--out", tmp_path / "photos-run", because="or contains photos")


def test_damaged_run_is_repaired_and_photos_that_are_gone_are_left_out(tmp_path, photo, make_photo, attack):
    other = make_photo(tmp_path / "dog.png", 1)
    attack(photo, other, "--out", tmp_path / "run")
    before = load_records(tmp_path / "run").drop(columns="seconds")
    lines = (tmp_path / "run/records.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run/plan.toml").write_text("no = = good\n")
    gone = next(line for line in lines if b'"image":"dog"' in line)  # records are in the order of their ends
    (tmp_path / "run/records.jsonl").write_bytes(b"no record\n" + gone)
    code, stdout, stderr = attack(photo, "--out", tmp_path / "run")
    assert code == 0
    assert "of 1 photos fool the classifier, " in stdout
    assert "repaired: line 1 of records.jsonl is damaged; its bytes are in " in stderr
    assert "note: 1 record is left out: its photo is no longer in the datasets of the plan\n" in stderr
    after = load_records(tmp_path / "run").drop(columns="seconds")
    both = (frame.sort_values("image", ignore_index=True) for frame in (before, after))
    pd.testing.assert_frame_equal(*both, rtol=1e-5)  # the cat was alone this time: its logits are rounded otherwise


def test_names_do_not_reach_the_terminal_as_they_are(tmp_path, bad_names, attack):
    photos = sorted(bad_names.iterdir())
    (tmp_path / "names.txt").write_text("\n".join(f"[bold]:cat:{k}\x1b[31m" for k in range(5)))
    command = [*photos, "--out", tmp_path / "run", "--classes", tmp_path / "names.txt"]
    code, stdout, stderr = attack(*command)
    assert code == 1
    frame = load_records(tmp_path / "run")
    assert len(frame) == len(photos)
    assert frame["error"].notna().sum() == len(photos) / 2
    home = tmp_path / "run/originals/photos"
    files = [path.relative_to(home) for path in home.rglob("*")]
    assert len(files) == len(photos) / 2
    assert all(len(path.parts) == 1 for path in files)
    for line in (stdout + stderr).splitlines():
        assert line.isprintable()
    assert "[red]x[bold]" in stdout
    assert "[bold]:cat:" in stdout
    assert "bad[red]x[bold].png: " in stderr
    assert attack(*command)[0] == 1
    assert len((tmp_path / "run/records.jsonl").read_bytes().splitlines()) == len(photos)


def test_shipped_classifier_from_photo_to_png(tmp_path, edgefool):
    (path,) = write_demo_photos(tmp_path / "photos", ["cat"])
    command = ["attack", path, "--out", tmp_path / "run", "--classifier", "caltech101-resnet"]
    code, stdout, _ = edgefool(*command, "--size", 112, "--set", "max_iterations=60", "--set", "tau=0.02")
    assert code == 0
    run = RunFolder(tmp_path / "run")
    (record,) = run.records()
    assert record.success, "the attack failed"
    assert f"{record.original_name} {record.original_probability:.0%}" in stdout
    (row,) = load_records(tmp_path / "run").itertuples()
    assert f"{row.psnr:.1f} dB" in stdout
    image = package.read_image(run.image_path("images", record))
    assert image.shape == (3, 112, 112)
    classifier = package.load_classifier("caltech101-resnet")
    assert classifier.classes[int(classifier(image[None]).argmax())] == record.adversarial_name


def test_python_and_command_line_agree(tmp_path, tiny, photo, attack):
    """The seed in a run's record gives the same result in Python."""
    assert attack(photo, "--out", tmp_path / "run")[0] == 0
    (row,) = load_records(tmp_path / "run").itertuples()
    image = package.resize_image(package.read_image(photo), 32)[None]
    classifier = package.load_classifier(f"{tiny}:factory")
    result = package.EdgeFool(start="identity", max_iterations=3, tau=0.01)(classifier, image, seeds=[int(row.seed)])
    assert int(result.adversarial_class) == row.adversarial_class
    assert float(result.details["smoothing_loss"]) == pytest.approx(row.smoothing_loss, rel=1e-4)
    run = RunFolder(tmp_path / "run")
    (record,) = run.records()
    file = run.image_path(record.kind, record)
    if row.success:
        assert torch.equal(package.read_image(file), result.adversarial[0])


FILES = {
    "sys.exit": ("import sys\nsys.exit()", "own.py cannot be imported: it calls sys.exit()"),
    "argparse": (
        "import argparse\nargparse.ArgumentParser().parse_known_args()",
        "own.py cannot be imported: RuntimeError",
    ),
    "one logit": (
        "import torch\nclass factory(torch.nn.Module):\n    def forward(self, x): return x.mean((1, 2, 3))[:, None]",
        "gives 1 logits per image",
    ),
    "one size": (
        "from torch import nn\ndef factory(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3))",
        "cannot classify an image of 32 x 32: RuntimeError",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_give_no_classifier_are_refused(tmp_path, photo, refuse, case):
    code, message = FILES[case]
    (tmp_path / "own.py").write_text(code)
    classifier = f"{tmp_path / 'own.py'}:factory"
    refuse("attack", photo, "--out", tmp_path / "run", "--size", 32, "--classifier", classifier, because=message)
    refuse("evaluate", tmp_path, tmp_path, "--size", 32, "--classifier", classifier, because=message)


@pytest.mark.parametrize("side", [32, 48, 100])
def test_the_network_gets_the_size_of_the_run(tmp_path, photo, edgefool, side):
    (tmp_path / "own.py").write_text(
        f"from torch import nn\ndef factory(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * {side}**2, 3))"
    )
    command = ["attack", photo, "--classifier", f"{tmp_path / 'own.py'}:factory", "--method", "nfgsm", "--size", side]
    code, stdout, _ = edgefool(*command, "--out", tmp_path / "run")
    assert code == 0
    assert "0 errors" in stdout


def test_what_is_unusual_is_a_note(tmp_path, photo, edgefool):
    (tmp_path / "own.py").write_text(
        "import torch\nclass factory(torch.nn.Module):\n    def forward(self, x): return x.mean((2, 3)).softmax(1)"
    )
    command = ["attack", photo, "--out", tmp_path / "run", "--method", "nfgsm", "--size", 32, "--classifier"]
    code, _, stderr = edgefool(*command, f"{tmp_path / 'own.py'}:factory")
    assert code == 0
    assert "own.py:factory gives what looks like probabilities" in stderr
    assert stderr.count("note: ") == 1


def test_a_key_chooses_a_part_of_a_checkpoint(tmp_path, photo, edgefool, refuse):
    state = load_file(DATA / "caltech101_resnet.safetensors")
    torch.save({"model": {f"module.{name}": x for name, x in state.items()}, "ema": state}, tmp_path / "w.pth")
    command = ["attack", photo, "--out", tmp_path / "run", "--method", "nfgsm", "--classifier", "caltech101-resnet"]
    refuse(*command, "--weights", tmp_path / "w.pth", because="choose one: ")
    code, _, stderr = edgefool(*command, "--weights", f"{tmp_path / 'w.pth'}::model")
    assert code == 0
    assert f"note: {tmp_path / 'w.pth'}: using its tensors, without the prefix module." in stderr
    evaluate = ["evaluate", tmp_path / "originals", tmp_path / "images"]
    for folder in ("originals", "images"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(photo.read_bytes())
    names = [f"one=caltech101-resnet@{tmp_path / 'w.pth'}::ema", "--classifier", "caltech101-alexnet"]
    code, stdout, _ = edgefool(*evaluate, "--classifier", *names)
    assert code == 0
    assert "one" in stdout
