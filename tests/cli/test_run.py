"""`edgefool run`: tables from a plan, only what is missing is computed, one line for whatever is wrong."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image
from safetensors.torch import save_file

from edgefool.attacks import METHODS
from edgefool.classifiers.vision import torchvision
from edgefool.datasets import paper_subset
from edgefool.experiments import Experiment, read_plan
from edgefool.runs import load_records

pytestmark = pytest.mark.usefixtures("no_figures")


def count_records(run: Path) -> int:
    return len((run / "records.jsonl").read_bytes().splitlines())


# Results


def test_the_limit_of_pixels_is_a_key_of_the_plan_and_an_option(tmp_path, settings, run_plan, album):
    settings |= {"classifiers": settings["classifiers"][:1], "methods": settings["methods"][1:]}
    Image.new("RGB", (1100, 1000), "red").save(album / "large.png")
    code, stdout, stderr = run_plan(settings | {"max_megapixels": 1})
    assert code == 1
    assert "large.png: has 1100x1000 pixels; more than 1,000,000 are read only with a larger --max-megapixels" in stderr
    assert "1 errors" in stdout
    assert run_plan(settings | {"max_megapixels": 1}, "--max-megapixels", 2, "--retry")[0] == 0
    assert read_plan(tmp_path / "run/plan.toml").max_megapixels == 2
    assert run_plan(settings, run="other")[0] == 0
    assert "max_megapixels" not in (tmp_path / "other/plan.toml").read_text()


def test_tables_equal_plain_counts_over_the_files(finished, read_tables):
    code, stdout, stderr = finished.output
    run = finished.run
    assert code == 0
    assert "6 cells, 36 images, 36 of them to attack: roughly 0:00:" in stderr
    assert "36/36, 6/6 cells, " in stderr
    assert " measured" in stderr
    assert "note" not in stderr
    assert f"tables: {run}/tables\n" in stdout
    assert f"report: {run}/report/index.html\n" in stdout
    tables = read_tables(run / "tables")
    records, predictions, qualities = (
        [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
        for name in ("records", "predictions", "quality")
    )
    answer = {(line["cell"], line["image"], line["classifier"]): line for line in predictions}
    names = ("enhance", "semanticadv", "nfgsm")
    pairs = [(method, classifier) for classifier in ("first", "other") for method in names]
    for name in ("misleading", "transferability", "quality"):
        assert [*zip(tables[name]["method"], tables[name]["classifier"], strict=True)] == pairs
    transferred = 0
    for row, (method, classifier) in enumerate(pairs):
        mine = [r for r in records if (r["method"], r["classifier"]) == (method, classifier)]
        cell, target = f"pics/{method}/{classifier}", {"first": "other", "other": "first"}[classifier]
        images = [r["image"] for r in mine]
        assert sorted(images) == list("012345")

        misleading = tables["misleading"].loc[row]
        assert misleading["misled"] == np.mean([r["original_class"] != r["adversarial_class"] for r in mine])
        assert misleading["misled"] == np.mean([(run / "images" / cell / f"{i}.png").exists() for i in images])
        assert misleading["iterations"] == np.median([r["iterations"] for r in mine])
        assert misleading["forward_passes"] == np.mean([r["forward_passes"] for r in mine])

        transfer = tables["transferability"].loc[row]
        before = [answer[None, i, target]["predicted"] for i in images]
        after = [answer[cell, i, target]["predicted"] for i in images]
        enhanced = [answer[f"pics/enhance/{classifier}", i, target]["predicted"] for i in images]
        assert (transfer["target"], transfer["images"]) == (target, 6)
        assert transfer["changed"] == np.mean(np.not_equal(before, after))
        assert transfer["null"] == np.mean(np.not_equal(before, enhanced))
        assert transfer["source"] == np.mean(np.not_equal([r["original_class"] for r in mine], after))
        truth = {"0": 1, "1": 2, "3": 0}
        known = [k for k, image in enumerate(images) if image in truth]
        assert transfer["truth"] == np.mean([after[k] != truth[images[k]] for k in known])
        assert transfer["truth_clean"] == np.mean([before[k] != truth[images[k]] for k in known])
        transferred += transfer["changed"]

        detection = tables["detectability"][
            (tables["detectability"]["method"] == method) & (tables["detectability"]["classifier"] == classifier)
        ]
        assert detection["squeezer"].tolist() == ["bits4", "median2", "joint", "mean"]
        mean, detection = detection.iloc[-1], detection.iloc[:-1]
        assert mean["detected"] == pytest.approx(detection["detected"].iloc[:-1].mean())
        clean, scores = (
            np.array([[*(s := answer[which, i, classifier]["scores"]).values(), max(s.values())] for i in images])
            for which in (None, cell)
        )
        threshold = np.sort(clean, axis=0)[math.ceil(6 * 0.8) - 1]
        misled = np.array([r["success"] for r in mine])
        assert detection["threshold"].to_numpy() == pytest.approx(threshold)
        assert detection["detected"].to_numpy() == pytest.approx((scores > threshold).mean(0))
        if misled.any():
            assert detection["detected_misled"].to_numpy() == pytest.approx((scores > threshold)[misled].mean(0))
        assert (detection["misled_images"] == misled.sum()).all()

        quality, distances = tables["quality"].loc[row], [q for q in qualities if q["cell"] == cell]
        assert len(distances) == 6
        for name in ("psnr", "ssim", "ciede2000", "linf", "changed_pixels"):
            assert quality[name] == pytest.approx(np.mean([q[name] for q in distances]))
    assert transferred > 0, "the test needs images that transfer"


def test_the_same_command_again_changes_nothing(finished, copied, snapshot):
    finished.repeat(copied)  # whose path is in the page
    before = snapshot(copied)
    code, stdout, stderr = finished.repeat(copied)
    assert code == 0
    assert stdout == finished.output[1].replace(str(finished.run), str(copied))
    assert "6 cells, 36 images, 0 of them to attack\n" in stderr
    after = snapshot(copied)
    sessions = str(copied / "sessions.jsonl")
    assert after.pop(sessions).startswith(before.pop(sessions))
    page = str(copied / "report/index.html")
    once, twice = before.pop(page).decode(), after.pop(page).decode()
    assert once.replace("in 2 sessions,", "in 3 sessions,") == twice
    assert after == before


def test_only_what_a_plan_adds_is_computed(finished, copied):
    before = (copied / "records.jsonl").read_bytes()
    more = [*finished.settings["methods"], {"name": "deepfool", "limit": 2}]
    assert "8 cells, 40 images, 4 of them to attack: " in finished.repeat(copied, "--dry-run", methods=more)[2]
    code, stdout, stderr = finished.repeat(copied, methods=more)
    assert code == 0
    assert "8 cells, 40 images, 4 of them to attack: " in stderr
    assert "deepfool" in stdout
    after = (copied / "records.jsonl").read_bytes()
    assert after.startswith(before)
    assert count_records(copied) == 36 + 4
    assert read_plan(copied / "plan.toml") == read_plan(finished.home / "plan.toml")


def test_tables_count_what_the_plan_holds_now(finished, copied, read_tables):
    (pics,) = finished.settings["datasets"]
    code, _, stderr = finished.repeat(copied, datasets=[pics | {"limit": 4}])
    assert code == 0
    assert "6 cells, 24 images, 0 of them to attack\n" in stderr
    assert "note: 12 records are left out: their photos are no longer in the datasets of the plan\n" in stderr
    assert (read_tables(copied / "tables")["misleading"]["images"] == 4).all()
    assert count_records(copied) == 36


def test_a_photo_that_cannot_be_attacked_is_an_error(tmp_path, settings, album, run_plan, read_tables):
    settings |= {"classifiers": settings["classifiers"][:1], "methods": settings["methods"][1:]}
    photo = album / "3.png"
    good = photo.read_bytes()
    photo.write_text("no photo")
    code, stdout, stderr = run_plan(settings)
    assert code == 1
    assert stderr.count("3.png: not an image") == 1
    assert "1 errors; see the records, and use --retry to try these photos again" in stdout
    misleading = read_tables(tmp_path / "run/tables")["misleading"]
    assert misleading["images"].tolist() == [5]
    assert misleading["errors"].tolist() == [1]
    photo.unlink()
    assert run_plan(settings)[0] == 0, "an error of a photo that is gone does not count"
    photo.write_bytes(good)
    assert run_plan(settings)[0] == 1
    assert count_records(tmp_path / "run") == 6
    assert run_plan(settings, "--retry")[0] == 0
    assert count_records(tmp_path / "run") == 7


def test_lpips_in_the_tables(tmp_path, settings, run_plan, read_tables):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.safetensors")
    settings |= {"methods": settings["methods"][:1], "classifiers": settings["classifiers"][:1]}
    code, stdout, _ = run_plan(settings | {"lpips": {"backbone": "squeeze", "weights": "squeezenet.safetensors"}})
    assert code == 0
    (lpips,) = read_tables(tmp_path / "run/tables")["quality"]["lpips"]
    assert lpips > 0
    assert f" {lpips:.3f} " in stdout


def test_a_classifier_that_fails_does_not_stop_the_other(tmp_path, settings, tiny, run_plan, read_tables):
    """``choosy`` takes no images of 40 pixels."""
    settings |= {"classifiers": [settings["classifiers"][0], {"name": f"{tiny}:choosy"}], "size": 40}
    code, stdout, stderr = run_plan(settings)
    assert code == 1
    assert "Traceback" not in stderr
    assert "12 errors" in stdout
    (line,) = [line for line in stderr.splitlines() if line.startswith("not measured: ")]
    assert line.startswith("not measured: classifier-choosy")
    assert "40 x 40 pixels" in line
    tables = read_tables(tmp_path / "run/tables")
    assert tables["misleading"]["images"].tolist() == [6, 6, 0, 0]
    assert tables["misleading"]["errors"].tolist() == [0, 0, 6, 6]
    assert set(tables["detectability"]["classifier"]) == {"first"}
    assert tables["transferability"]["images"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("name", "message"),
    [("images/pics/nfgsm/first/0.png", "is missing"), ("cells.jsonl", "its cell is unknown\n... and 31 more")],
)
def test_a_damaged_run_is_repaired(finished, copied, read_tables, name, message):
    (copied / name).unlink()
    code, _, stderr = finished.repeat(copied)
    assert code == 0
    assert stderr.startswith("repaired: ")
    assert message in stderr
    assert (copied / name).read_bytes() == (finished.run / name).read_bytes()
    for table in ("misleading", "transferability", "detectability"):
        assert read_tables(copied / "tables")[table].equals(read_tables(finished.run / "tables")[table])


# Interruptions and other processes


def heed_interrupts() -> None:
    """Undo what a shell does to the jobs that it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_second_process_is_refused_and_the_first_stops_at_once(tmp_path, settings, run_plan, refuse):
    """The second method would take for ever, so that it is interrupted within its first batch."""
    settings |= {"classifiers": settings["classifiers"][:1]}
    endless = settings | {"methods": [{"name": "enhance"}, {"name": "nfgsm", "constants": {"max_iterations": 10**9}}]}
    for name, plan in (("plan.toml", settings), ("endless.toml", endless)):
        (tmp_path / name).write_text(tomli_w.dumps(plan))
    command = [sys.executable, "-m", "edgefool", "run", str(tmp_path / "endless.toml"), "--out", str(tmp_path / "run")]
    predictions = tmp_path / "run/predictions.jsonl"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        try:
            while process.poll() is None and not (predictions.exists() and predictions.read_bytes().count(b"\n") == 12):
                time.sleep(0.05)
            because = f"another process is working in {tmp_path / 'run'} (process {process.pid} on "
            refuse("run", tmp_path / "plan.toml", "--out", tmp_path / "run", because=because, code=1)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "stopped; finished work is kept. Repeat the command to resume."
    assert "Traceback" not in stderr
    assert len(load_records(tmp_path / "run")) == 6
    code, _, stderr = run_plan(settings)
    assert code == 0
    assert "2 cells, 12 images, 6 of them to attack" in stderr


# Wrong usage


def entry(what, **changes):
    """Return what changes the first entry of a plan's list."""
    return lambda settings: settings | {what: [settings[what][0] | changes, *settings[what][1:]]}


WRONG = {
    "unknown key": (lambda s: s | {"sise": 32}, "plan.toml: sise = 32: Extra inputs are not permitted"),
    "photos": (entry("datasets", path="albun"), "albun'; did you mean"),
    "variable": (entry("datasets", path="$EDGEFOOL_NONE/x"), "$EDGEFOOL_NONE is not set in the"),
    "label of a photo": (entry("datasets", labels="large.csv", num_classes=5), "label '5' of '0.png' is not a whole"),
    "classifier": (entry("classifiers", name="resnet5"), "unknown classifier 'resnet5'; did you mean"),
    "factory": (entry("classifiers", name="classifier.py:facto"), "did you mean factory"),
    "factory that fails": (entry("classifiers", name="classifier.py:failing"), "OSError: no?[31m net"),
    "field": (entry("methods", constants={"v4": 1}), "unknown field of enhance 'v4'; did you mean"),
    "label that controls": (entry("methods", label="\x1b[31mred"), "only printable characters"),
    "weights for LPIPS": (lambda s: s | {"lpips": {"backbone": "vgg"}}, "needs a file with its weights"),
    "markup and control": (lambda s: s | {"[red]\x1b[31m\n\u202e": 1}, "[red]\\x1b[31m\\n\\u202e = 1"),
    "photo in the run": (entry("datasets", path="run/images/photo.png"), "or contains photos; choose another folder"),
}


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_is_one_line(tmp_path, settings, make_photo, refuse, snapshot, case, options):
    (tmp_path / "large.csv").write_text("file,label\n0.png,5\n")
    make_photo(tmp_path / "run/images/photo.png")
    change, message = WRONG[case]
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(change(settings)))
    before = snapshot(tmp_path)
    refuse("run", tmp_path / "plan.toml", "--out", tmp_path / "run", *options, because=message)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "No such file or directory"),
        (b"no = = plan", "(at line 1"),
        (b"\xff\xfe", "can't decode"),
        (b"", "Field required"),
    ],
)
def test_a_plan_that_cannot_be_read_is_one_line(tmp_path, refuse, data, reason):
    if data is not None:
        (tmp_path / "p\x1b[31m.toml").write_bytes(data)
    plan = tmp_path / "p\x1b[31m.toml"
    for because in (f"{tmp_path}/p?[31m.toml", reason):
        refuse("run", plan, "--out", tmp_path / "run", because=because)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "tpu9"], "--device tpu9 is not available here"),
        (["--out", "plan.toml"], "is a file"),
        (["--out", "others"], "is not a run and not empty"),
        (["--out", "album"], "is inside a folder of photos"),
        (["--out", "album/run"], "is inside a folder of photos"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, settings, make_photo, refuse, snapshot, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / "others/cat.png")
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    before = snapshot(tmp_path)
    refuse("run", "plan.toml", "--out", "run", *options, because=message)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_run_with_other_settings_or_of_a_newer_format_is_refused(finished, copied, snapshot, options):
    before = snapshot(copied)
    code, stdout, stderr = finished.repeat(copied, *options, size=40)
    assert (code, stdout) == (2, "")
    assert "was made with other settings (size: 32 there, 40 now)" in stderr
    assert snapshot(copied) == before
    (copied / "format.json").write_text('{"format": 99, "edgefool": "9.0"}')
    before = snapshot(copied)
    code, stdout, stderr = finished.repeat(copied, *options)
    assert (code, stdout) == (1, "")
    assert "format 99, last written by edgefool 9.0" in stderr
    assert snapshot(copied) == before


# Plans that are only checked, or have fewer images


def test_a_dry_run_checks_estimates_and_writes_nothing(tmp_path, settings, tiny, run_plan, snapshot, monkeypatch):
    settings["methods"][1]["limit"] = 2
    settings["false_positive_rate"] = 0.05
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{k}.png,{k % 5}\n" for k in range(6)))
    settings["datasets"][0] |= {"labels": "labels.csv", "num_classes": 5}
    settings["classifiers"][1] = {"name": f"{tiny}:three", "label": "three"}
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    before = snapshot(tmp_path)
    code, stdout, stderr = run_plan(settings, "--dry-run")
    assert (code, stdout) == (0, "")
    labels, few, estimate = stderr.splitlines()
    assert labels == "note: pics has labels of 5 classes, three has 3: not compared with the ground truth"
    assert few.startswith("note: pics has 6 photos, too few for 5% false positives")
    assert estimate.startswith("4 cells, 16 images, 16 of them to attack: roughly 0:00:")
    assert snapshot(tmp_path) == before
    # An attack that is slower is estimated to take longer.
    monkeypatch.setattr(Experiment, "seconds_per_image", lambda _, jobs: [j.attack.typical_steps * 100 for j in jobs])
    steps = 2 * (6 * METHODS["enhance"].typical_steps + 2 * METHODS["deepfool"].typical_steps)
    minutes, seconds = divmod(steps * 100, 60)
    assert f"roughly {minutes // 60}:{minutes % 60:02}:{seconds:02}, " in run_plan(settings, "--dry-run")[2]


def test_a_dry_run_leaves_a_run_alone(finished, copied, snapshot):
    before = snapshot(copied)
    code, _, stderr = finished.repeat(copied, "--dry-run")
    assert code == 0
    assert "6 cells, 36 images, 0 of them to attack\n" in stderr
    assert snapshot(copied) == before


def test_images_of_a_list_may_be_missing_if_allowed(tmp_path, settings, run_plan, make_photo, refuse):
    names = [f"val/{stem}.JPEG" for stem in paper_subset()[:3]]
    for name in [*names, "val/stranger.jpg"]:
        make_photo(tmp_path / "known" / name)
    settings |= {"datasets": [{"kind": "imagenet", "path": "known"}], "classifiers": settings["classifiers"][:1]}
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
    command = ["run", tmp_path / "plan.toml", "--out", tmp_path / "run"]
    refuse(*command, because="imagenet: 2,997 of 3,000 images are missing in")
    assert not (tmp_path / "run").exists()
    code, _, stderr = run_plan(settings, "--allow-missing")
    assert code == 0
    assert "note: imagenet has labels of " in stderr
    frame = load_records(tmp_path / "run")
    assert sorted(set(frame["image"])) == sorted(Path(name).stem for name in names)
    assert frame["label"].notna().all()
    assert len(frame) == 6


# Untrusted text


@pytest.mark.parametrize("count", [1, 2])
def test_names_do_not_reach_the_terminal_as_they_are(tmp_path, settings, tiny, run_plan, bad_names, count):
    photos = len(list(bad_names.iterdir()))
    (tmp_path / "names.txt").write_text("\n".join(f"[bold]:cat:{k}\x1b[31m" for k in range(5)))
    settings["datasets"][0]["path"] = str(bad_names)
    settings["classifiers"] = [{"name": f"{tiny}:factory", "label": "[/c]", "classes": "names.txt"}]
    settings["methods"] = [{"name": "nfgsm", "label": "[/m]"}, {"name": "enhance", "label": "[red]e"}][:count]
    code, stdout, stderr = run_plan(settings)
    assert code == 1
    assert all(line.isprintable() for text in (stdout, stderr) for line in text.splitlines())
    assert stderr.count("bad[red]x[bold].png: the file is empty") == count
    assert len([line for line in stderr.splitlines() if "the file is empty" in line]) == photos / 2 * count
    assert "[/m]" in stdout
    assert "[/c]" in stdout
    assert count_records(tmp_path / "run") == photos * count
    files = [path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*")]
    assert all(str(path).isprintable() for path in files)
    if count == 1:
        assert run_plan(settings)[0] == 1
        assert count_records(tmp_path / "run") == photos
