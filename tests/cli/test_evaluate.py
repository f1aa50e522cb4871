"""`edgefool evaluate`: images of other tools are measured like our own."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from edgefool.classifiers.vision import torchvision

PAPER_SQUEEZERS = ["bits4", "bits5", "bits6", "bits7", "median2", "median3"]


@pytest.fixture
def adversarial(finished):
    """Return a folder of images that all fool the first classifier."""
    folder = finished.run / "images/pics/nfgsm/first"
    assert len(list(folder.iterdir())) == 6, "the test needs images that all fool the classifier"
    return folder


@pytest.fixture
def evaluate(tmp_path, tiny, edgefool):
    """Return what evaluates images by the tiny classifiers, and writes tables."""

    def evaluate(clean, adversarial, *options, names=("factory", "other")):
        classifiers = [part for name in names for part in ("--classifier", f"{tiny}:{name}")]
        return edgefool("evaluate", clean, adversarial, *classifiers, "--out", tmp_path / "tables", *options)

    return evaluate


@pytest.mark.usefixtures("no_figures")
def test_the_tables_are_those_of_the_run_that_made_the_images(tmp_path, finished, adversarial, evaluate, read_tables):
    """From the photos at their own size, with their labels, by the paper's squeezers."""
    paper = tmp_path / "paper"
    shutil.copytree(finished.run, paper)
    assert finished.repeat(paper, squeezers=PAPER_SQUEEZERS, false_positive_rate=0.05)[0] == 0
    labels = ["--labels", finished.home / "labels.csv", "--num-classes", 5]
    code, stdout, stderr = evaluate(finished.home / "album", adversarial, "--size", 32, *labels)
    assert code == 0
    assert "note" not in stderr
    assert f"tables: {tmp_path / 'tables'}\n" in stdout
    ours, theirs = read_tables(tmp_path / "tables"), read_tables(paper / "tables")
    unknown = {
        "misleading": ["misled_float", "converged", "lost_gradient", "iterations", "forward_passes", "backward_passes"],
        "transferability": ["null", "gain", "target"],
        "quality": ["smooth_ratio"],
    }
    for name in ours:
        mine = ours[name][ours[name]["classifier"] == "classifier-factory"]
        made_by = theirs[name][(theirs[name]["classifier"] == "first") & (theirs[name]["method"] == "nfgsm")]
        dropped = ["dataset", "method", "classifier", *unknown.get(name, [])]
        dropped += [f"{column}_{end}" for column in unknown.get(name, []) for end in ("low", "high")]
        pd.testing.assert_frame_equal(
            *(t.drop(columns=dropped, errors="ignore").reset_index(drop=True) for t in (mine, made_by)), rtol=1e-4
        )
        assert len(mine)
        assert set(ours[name]["method"]) == {"first"}, "the folder's name"
    assert (ours["misleading"].set_index("classifier").loc["classifier-factory"]["misled"]) == 1
    assert ours["transferability"]["truth"].notna().all()
    assert ours["transferability"]["null"].isna().all()
    assert ours["misleading"][["iterations", "forward_passes", "backward_passes"]].isna().all(axis=None)


def test_warnings_and_the_limit_of_pixels(tmp_path, evaluate):
    for name in ("clean", "made"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (1100, 1000), "red").save(tmp_path / name / "large.jpg")
        path = tmp_path / name / "small.jpg"
        Image.new("RGB", (64, 64), "red").save(path)
        path.write_bytes(path.read_bytes()[:-2])
    code, _, stderr = evaluate(tmp_path / "clean", tmp_path / "made", "--max-megapixels", 1, names=["factory"])
    assert code == 1
    assert "a larger --max-megapixels, here 2" in stderr
    for name in ("clean", "made"):
        assert stderr.count(f"note: {tmp_path / name / 'small.jpg'}: its end marker is missing") == 1
    assert evaluate(tmp_path / "clean", tmp_path / "made", "--max-megapixels", 2, names=["factory"])[0] == 0


def test_without_out_nothing_is_written(tmp_path, finished, adversarial, edgefool, monkeypatch, snapshot):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    before = snapshot(finished.home), snapshot(tmp_path)
    classifier = f"{finished.home / 'classifier.py'}:factory"
    code, stdout, _ = edgefool("evaluate", finished.run / "originals/pics", adversarial, "--classifier", classifier)
    assert code == 0
    assert "100.0%" in stdout
    assert (snapshot(finished.home), snapshot(tmp_path)) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_what_is_left_out_is_said(tmp_path, finished, adversarial, evaluate, read_tables):
    shutil.copytree(adversarial, tmp_path / "others")
    (tmp_path / "others/0.png").unlink()
    (tmp_path / "others/1.png").write_text("no image")
    labels = ["--labels", finished.home / "labels.csv", "--num-classes", 7]
    code, _, stderr = evaluate(finished.run / "originals/pics", tmp_path / "others", *labels)
    assert code == 1
    assert "note: 1 originals have no adversarial image\n" in stderr
    for name in ("factory", "other"):
        assert f"note: originals has labels of 7 classes, classifier-{name} has 5: not compared with the" in stderr
    assert stderr.count(f"{tmp_path / 'others/1.png'}: not an image") == 2
    tables = read_tables(tmp_path / "tables")
    assert tables["misleading"]["images"].tolist() == [4, 4]
    assert tables["misleading"]["errors"].tolist() == [1, 1]
    assert tables["transferability"]["truth"].isna().all()


def test_a_classifier_that_fails_does_not_stop_the_other(tmp_path, evaluate, make_photo, read_tables):
    for seed in range(3):
        make_photo(tmp_path / "clean" / f"{seed}.png", seed, height=40)
        make_photo(tmp_path / "other" / f"{seed}.png", seed + 10, height=40)
    code, _, stderr = evaluate(tmp_path / "clean", tmp_path / "other", names=["factory", "choosy"])
    assert code == 1
    assert stderr.count("classifier-choosy cannot take 36 x 40 pixels: no 40, please") == 3
    assert read_tables(tmp_path / "tables")["misleading"]["images"].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "others"], "gone is not a folder"),
        (["album", "gone"], "gone is not a folder"),
        (["album", "strange"], "have no original of the same name in"),
        (["album", "twice"], "have the same name"),
        (["album", "empty"], "no image files in the folder"),
        (["album", "others", "--weights", "a.pth", "--weights", "b.pth"], "2 --weights for 1 --classifier: give one"),
        (["album", "others", "--weights", "gone.pth"], "loads its own weights; leave"),
        (["album", "others", "--labels", "gone.csv"], "--labels and --num-classes go together"),
        (["album", "others", "--num-classes", "5"], "--labels and --num-classes go together"),
        (["album", "others", "--labels", "gone.csv", "--num-classes", "5"], "gone.csv"),
        (["album", "others", "--size", "7"], "--size 7: must be native or a number of pixels from 16 to"),
        (["album", "others", "--lpips", "gone.pth"], "gone.pth"),
        (["album", "others", "--classifier", "resnet5"], "unknown classifier 'resnet5'"),
        (["album", "others", "--classifier", "classifier.py:factory"], "are the same"),
    ],
)
@pytest.mark.usefixtures("tiny", "album")
def test_wrong_usage_is_one_line(tmp_path, make_photo, monkeypatch, refuse, arguments, message):
    monkeypatch.chdir(tmp_path)
    shutil.copytree("album", "others")
    for name in ("strange/stranger.png", "twice/0.png", "twice/0.bmp"):
        make_photo(Path(name))
    Path("empty").mkdir()
    refuse("evaluate", *arguments, "--classifier", "classifier.py:factory", "--out", "tables", because=message)
    assert not Path("tables").exists()


def test_weights_of_files_and_lpips(tmp_path, finished, adversarial, edgefool, refuse, read_tables):
    """A checkpoint for each classifier, in their order."""
    states = {}
    for seed, network in enumerate(("squeezenet1_0", "squeezenet1_1")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            states[network] = torchvision.models.get_model(network, weights=None, num_classes=5).state_dict()
        save_file(states[network], tmp_path / f"{network}.safetensors")
    networks, files = (
        [part for n in states for part in pair(n)]
        for pair in (
            lambda n: ("--classifier", f"torchvision:{n}"),
            lambda n: ("--weights", tmp_path / f"{n}.safetensors"),
        )
    )
    for name in ("0.png", "1.png"):
        (tmp_path / "two").mkdir(exist_ok=True)
        shutil.copy(adversarial / name, tmp_path / "two")
    command = ["evaluate", finished.run / "originals/pics", tmp_path / "two"]
    lpips = ["--lpips", files[3]]
    code, stdout, _ = edgefool(*command, *networks, *files, *lpips, "--out", tmp_path / "tables")
    assert code == 0
    tables = read_tables(tmp_path / "tables")
    assert tables["misleading"]["classifier"].tolist() == list(states)
    assert (tables["quality"]["lpips"] > 0).all()
    assert f" {tables['quality']['lpips'][0]:.3f} " in stdout
    refuse(*command, *networks, *files[:2], because="1 --weights for 2 --classifier: give one for each, or none")
    refuse(*command, *networks, *files[2:], *files[:2], because="does not fit")


def test_names_do_not_reach_the_terminal_as_they_are(tmp_path, bad_names, evaluate, tiny, refuse, read_tables):
    odd = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"[bold]\x1b[31m\xff"))
    shutil.copytree(bad_names, odd)
    half = len(list(bad_names.iterdir())) // 2
    code, stdout, stderr = evaluate(bad_names, odd)
    assert code == 1
    assert all(line.isprintable() for text in (stdout, stderr) for line in text.splitlines())
    assert "[bold]?[31m\\xff" in stdout
    assert read_tables(tmp_path / "tables")["misleading"]["images"].tolist() == [half] * 2
    assert read_tables(tmp_path / "tables")["misleading"]["errors"].tolist() == [half] * 2
    command = ["evaluate", bad_names, tmp_path / "gone\x1b[31m\n", "--classifier", f"{tiny}:factory"]
    refuse(*command, because="is not a folder")
