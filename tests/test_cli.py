"""The command line: exit codes, one line for every wrong usage, nothing untrusted on the terminal."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import edgefool as package
from edgefool import cli
from edgefool.datasets.demo import DEMO_PHOTOS, write_demo_photos
from edgefool.experiments import make_plan
from edgefool.runs import RunFolder, load_records

DATA = Path(package.__file__).parent / "classifiers" / "data"


@pytest.fixture
def photo(tmp_path, make_photo):
    return make_photo(tmp_path / "cat.png")


# Wrong usage

WRONG = {
    "no such method": (["--method", "edgefol"], "unknown method 'edgefol'; did you mean edgefool"),
    "no such classifier": (["--classifier", "resnet5"], "unknown classifier 'resnet5'; did you mean resnet50"),
    "no such file of a factory": (["--classifier", "none.py:net"], "no Python file at none.py"),
    "no such field": (["--set", "alfa=1"], "unknown field of edgefool 'alfa'; did you mean alpha"),
    "field out of range": (["--set", "v1=101"], "edgefool: v1=101: input should be less than or equal to 100"),
    "field of another type": (["--set", "max_iterations=many"], "max_iterations=many: input should be a valid integer"),
    "field without value": (["--set", "alpha"], "--set alpha: give FIELD=VALUE"),
    "no size": (["--size", "large"], "--size large: a number of pixels from 16 to 10000, or native"),
    "size too small": (["--size", "15"], "--size 15: a number of pixels from 16 to 10000, or native"),
    "size too large": (["--size", "10001"], "--size 10001: a number of pixels from 16 to 10000, or native"),
    "negative size": (["--size=-5"], "--size -5: a number of pixels from 16 to 10000, or native"),
    "no such device": (["--device", "tpu9"], "--device tpu9: not at hand here"),
    "device without data": (["--device", "meta"], "--device meta: not at hand here"),
    "empty batch": (["--batch-size", "0"], "'--batch-size': Input should be greater than or equal to 1"),
    "no seed": (["--seed", "x"], "'--seed': Input should be a valid integer"),
    "no such weights": (["--classifier", "resnet18", "--weights", "none.pth"], "none.pth"),
    "no such class names": (["--classes", "none.txt"], "none.txt"),
    "no such photo": (["dog.png"], "no such file or folder: 'dog.png'"),
    "no such option": (["--colour"], "No such option: --colour"),
    "markup and control": (["--set", "[red]\x1b[31m\n\r\x07=1"], "unknown field of edgefool '[red]"),
    "file for a folder": (["--out", __file__], "is a file; --out needs a folder"),
    "folder of something else": (
        ["--out", str(Path(__file__).parent)],
        "is not a run and not empty; name a new folder",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line(tmp_path, photo, attack, case):
    options, message = WRONG[case]
    code, stdout, stderr = attack(photo, "--out", tmp_path / "run", *options)
    assert code == 2
    assert stdout == ""
    assert message in stderr
    assert one_plain_line(stderr)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["atack"], "No such command 'atack'"),
        (["attack"], "Missing argument"),
        (["attack", "x.png"], "Missing option '--out'"),
        (["list", "photos"], "'photos' is not one of"),
        (["--colour"], "No such option: --colour"),
        (["demo", "x"], "unexpected extra argument"),
    ],
)
def test_wrong_command_is_one_line(edgefool, arguments, message):
    code, stdout, stderr = edgefool(*arguments)
    assert code == 2
    assert stdout == ""
    assert message in stderr
    assert one_plain_line(stderr)


def one_plain_line(text: str) -> bool:
    return text.startswith("error: ") and text.endswith("\n") and text[:-1].isprintable()


def test_nothing_asked_shows_help(edgefool):
    code, stdout, stderr = edgefool()
    assert code == 2
    assert "Usage" in stdout + stderr
    assert "error" not in stdout + stderr


def test_run_with_other_settings_is_refused(tmp_path, photo, attack):
    out = ["--out", tmp_path / "run"]
    assert attack(photo, *out)[0] == 0
    before = (tmp_path / "run/records.jsonl").read_bytes()
    code, _, stderr = attack(photo, *out, "--set", "alpha=5", "--seed", 1, "--size", "native")
    assert code == 2
    assert "(size: 32 there, native now; seed: 0 there, 1 now; alpha: 10.0 there, 5.0 now); name a new" in stderr
    assert one_plain_line(stderr)
    assert attack(photo, *out, "--set", "alpha=1e1", "--batch-size", 2, "--device", "cpu")[0] == 0
    assert (tmp_path / "run/records.jsonl").read_bytes() == before


def test_out_among_the_photos_is_refused(tmp_path, make_photo, attack):
    """Else the run's own images would be attacked when it goes on."""
    photos = tmp_path / "photos"
    make_photo(photos / "cat.png")
    code, _, stderr = attack(photos, "--out", photos / "run")
    assert code == 2
    assert "lies where photos are searched; name a folder outside" in stderr
    assert not (photos / "run").exists()
    assert attack(photos, "--out", tmp_path / "photos-run")[0] == 0
    assert attack(tmp_path / "photos-run/originals", "--out", tmp_path / "photos-run")[0] == 2


def test_locked_run(tmp_path, photo, attack):
    assert attack(photo, "--out", tmp_path / "run")[0] == 0
    lock = str(tmp_path / "run/.lock")
    holder = f"from filelock import FileLock; lock = FileLock({lock!r}); lock.acquire(); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        code, _, stderr = attack(photo, "--out", tmp_path / "run")
        process.communicate(b"\n")
    assert code == 1
    assert "another process is working in" in stderr
    assert one_plain_line(stderr)
    assert attack(photo, "--out", tmp_path / "run")[0] == 0


def test_damaged_run_is_told_and_made_good(tmp_path, photo, attack):
    attack(photo, "--out", tmp_path / "run")
    before = load_records(tmp_path / "run").drop(columns="seconds")
    (tmp_path / "run/plan.toml").write_text("no = = good\n")
    (tmp_path / "run/records.jsonl").write_text("no record\n")
    code, stdout, stderr = attack(photo, "--out", tmp_path / "run")
    assert code == 0
    assert "of 1 misled" in stdout
    assert "damaged, so done again: line 1 of records.jsonl was damaged\n" in stderr
    assert load_records(tmp_path / "run").drop(columns="seconds").equals(before)


def test_full_disk_anywhere_is_one_line(tmp_path, edgefool, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "photos")

    monkeypatch.setattr("edgefool.datasets.Demo._find_all", fail)
    code, _, stderr = edgefool("demo", "--out", tmp_path / "run")
    assert code == 1
    assert "No space left on device" in stderr
    assert one_plain_line(stderr)


# Untrusted text

BAD_NAMES = [
    b"[red]x[$(touch x)]<img>",
    b"line\nbreak\r",
    b"..",
    b"...",
    b"\x1b[31mred\x07\x9b",
    b"\xff\xfe not UTF-8",
    b":smile: [link=http:x]y[!link] []\\",
    "\u202egpj.exe \u2028".encode(),
    b"-n",
]


def test_names_do_not_reach_the_terminal_as_they_are(tmp_path, photo, attack):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in BAD_NAMES:
        try:
            shutil.copy(photo, os.path.join(os.fsencode(folder), name + b".png"))
            Path(os.fsdecode(os.path.join(os.fsencode(folder), b"bad" + name + b".png"))).touch()
        except OSError:
            pytest.skip("this file system takes only tame names")
    photos = sorted(folder.iterdir())
    code, stdout, stderr = attack(*photos, "--out", tmp_path / "run")
    assert code == 1
    frame = load_records(tmp_path / "run")
    assert len(frame) == 2 * len(BAD_NAMES)
    assert frame["error"].notna().sum() == len(BAD_NAMES)
    home = tmp_path / "run/originals/photos"
    files = [path.relative_to(home) for path in home.rglob("*")]
    assert len(files) == len(BAD_NAMES)
    assert all(len(path.parts) == 1 for path in files)
    for line in (stdout + stderr).splitlines():
        assert line.isprintable()
    assert "[red]x[$(touch x)]" in stdout
    assert "bad:smile: [link=http:x]y[!link] []\\.png: " in stderr
    assert attack(*photos, "--out", tmp_path / "run")[0] == 1
    assert len((tmp_path / "run/records.jsonl").read_bytes().splitlines()) == 2 * len(BAD_NAMES)


def test_class_names_do_not_reach_the_terminal_as_they_are(tmp_path, photo, attack):
    (tmp_path / "names.txt").write_text("\n".join(f"[bold]:cat:{k}\x1b[31m" for k in range(5)))
    code, stdout, _ = attack(photo, "--out", tmp_path / "run", "--classes", tmp_path / "names.txt")
    assert code == 0
    assert "[bold]:cat:" in stdout
    assert "\x1b" not in stdout


# Processes of their own

HEAVY = {"torch", "torchvision", "numpy", "pandas", "matplotlib", "kornia", "PIL"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list", "--help"], ["attack", "--help"], ["demo", "--help"], ["list"]]
)
def test_quick_commands_do_not_wait_for_torch(arguments):
    code = f"""
import sys
from edgefool.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    print("CODE", end.code, *({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "CODE 0"
    assert done.stderr == ""


def test_version_and_lists(edgefool):
    assert edgefool("--version") == (0, f"edgefool {package.__version__}\n", "")
    code, stdout, _ = edgefool("list", "classifiers")
    assert code == 0
    assert {"resnet50", "resnet18", "alexnet", "caltech101-resnet"} <= set(stdout.split())
    code, stdout, _ = edgefool("list", "methods")
    assert code == 0
    assert {"edgefool", "alpha", "tau", "0.0005"} <= set(stdout.split())


def heed_interrupts() -> None:
    """Undo what a shell does to the jobs that it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_run_says_how_to_go_on(tmp_path, tiny, make_photo):
    for seed in range(40):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    command = [
        *(sys.executable, "-m", "edgefool", "attack", str(tmp_path / "photos"), "--out", str(tmp_path / "run")),
        *("--classifier", f"{tiny}:factory", "--size", "32", "--set", "max_iterations=40", "--set", "tau=1e-9"),
        *("--batch-size", "1"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    records = tmp_path / "run/records.jsonl"
    while not records.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-1] == "stopped; what is done is kept, repeat the command to go on"
    assert "Traceback" not in stderr
    assert 0 < len(load_records(tmp_path / "run")) < 40


def test_interruption_before_a_run(edgefool, monkeypatch, photo, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgefool.datasets.folder.find_photos", interrupt)
    code, stdout, stderr = edgefool("attack", photo, "--out", tmp_path / "run")
    assert (code, stdout) == (130, "")
    assert stderr == "stopped; what is done is kept, repeat the command to go on\n"


def test_terminal_that_knows_no_greek(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = "from edgefool import cli; cli.version = lambda name: 'τ'; cli.main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"edgefool ?\n", b"")


# From end to end


@pytest.mark.skipif(
    not (DATA / "caltech101_resnet.safetensors").exists(), reason="the shipped classifier has not been trained yet"
)
def test_shipped_classifier_from_photo_to_png(tmp_path, edgefool):
    (path,) = write_demo_photos(tmp_path / "photos", ["cat"])
    command = ["attack", path, "--out", tmp_path / "run", "--classifier", "caltech101-resnet"]
    code, stdout, _ = edgefool(*command, "--size", 112, "--set", "max_iterations=60", "--set", "tau=0.02")
    assert code == 0
    (record,) = RunFolder(tmp_path / "run").records()
    assert record.success, "the cat was not misled"
    assert f"{record.original_name} {record.original_probability:.0%}" in stdout
    image = package.read_image(RunFolder(tmp_path / "run").image_path("images", record))
    assert image.shape == (3, 112, 112)
    classifier = package.load_classifier("caltech101-resnet")
    assert classifier.classes[int(classifier(image[None]).argmax())] == record.adversarial_name


@pytest.mark.skipif(
    not (DATA / "caltech101_resnet.safetensors").exists(), reason="the shipped classifier has not been trained yet"
)
def test_demo_compares_the_methods_makes_a_page_and_goes_on(tmp_path, edgefool, monkeypatch):
    methods = [{"name": "enhance"}, {"name": "edgefool", "constants": {"max_iterations": 1, "tau": 1.0}}]
    monkeypatch.setattr("edgefool.cli.DEMO", {**cli.DEMO, "methods": methods, "size": 64})
    monkeypatch.chdir(tmp_path)
    code, stdout, _ = edgefool("demo")
    assert code == 0
    assert "report: edgefool-demo/report/index.html" in stdout
    frame = load_records("edgefool-demo")
    assert set(frame["image"]) == set(DEMO_PHOTOS)
    assert set(frame["classifier"]) == {"caltech101-resnet", "caltech101-alexnet"}
    assert Path("edgefool-demo/report/figures/figure5.pdf").exists()
    sheets = [path.stem for path in Path("edgefool-demo/contact_sheets").iterdir()]
    mine = frame[frame["success"] & (frame["cell"] == "demo/edgefool/caltech101-resnet")]
    assert sorted(sheets) == sorted(mine["image"])
    assert sheets
    records = Path("edgefool-demo/records.jsonl")
    before = records.read_bytes()
    assert edgefool("demo")[0] == 0
    assert records.read_bytes() == before


def test_the_demos_own_plan_is_valid():
    plan = make_plan({**cli.DEMO, "datasets": [{"kind": "demo"}]})
    assert plan.methods[0].name == "edgefool"
    assert {"enhance", "semanticadv"} < {method.name for method in plan.methods}


def test_demo_into_the_current_folder_is_refused_where_it_is_not_empty(tmp_path, edgefool, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").touch()
    monkeypatch.chdir(tmp_path / "here")
    code, _, stderr = edgefool("demo", "--out", ".")
    assert code == 2
    assert one_plain_line(stderr)


def test_python_and_command_line_agree(tmp_path, tiny, photo, attack):
    """A run's record can be had again in Python from its seed."""
    assert attack(photo, "--out", tmp_path / "run")[0] == 0
    (row,) = load_records(tmp_path / "run").itertuples()
    image = package.resize_image(package.read_image(photo), 32)[None]
    classifier = package.load_classifier(f"{tiny}:factory")
    result = package.EdgeFool(start="identity", max_iterations=3, tau=0.01)(classifier, image, seeds=[int(row.seed)])
    assert int(result.adversarial_class) == row.adversarial_class
    assert float(result.details["smoothing_loss"]) == pytest.approx(row.smoothing_loss, rel=1e-4)
    if row.success:
        file = RunFolder(tmp_path / "run").image_path("images", RunFolder(tmp_path / "run").records()[0])
        assert torch.equal(package.read_image(file), result.adversarial[0])
