"""Exit codes, one plain line for every failure, and a quick start."""

import io
import os
import shlex
import subprocess
import sys
from importlib.metadata import distribution

import pytest
import typer

import edgefool as package
from edgefool.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["atack"], "No such command 'atack'"),
        (["attack"], "Missing argument"),
        (["attack", "x.png"], "Missing option '--out'"),
        (["attack", "x.png", "--out", "run", "--batch-size", "0"], "'--batch-size': Input should be greater than or"),
        (["attack", "x.png", "--out", "run", "--seed", "x"], "'--seed': Input should be a valid integer"),
        (["evaluate", "album"], "Missing argument"),
        (["evaluate", "album", "others"], "Missing option '--classifier'"),
        (["list", "photos"], "'photos' is not one of"),
        (["--colour"], "No such option: --colour"),
        (["demo", "x"], "unexpected extra argument"),
        (["report", "run", "--images", "-1"], "--images"),
    ],
)
def test_wrong_usage_is_one_line(refuse, arguments, message):
    refuse(*arguments, because=message)


@pytest.mark.parametrize("command", typer.main.get_command(app).commands)
def test_help_shows_every_word(edgefool, monkeypatch, command):
    """Rich takes some words in brackets for markup and drops them."""
    monkeypatch.setenv("COLUMNS", "300")
    code, out, _ = edgefool(command, "--help")
    assert code == 0
    written = {word for p in typer.main.get_command(app).commands[command].params for word in (p.help or "").split()}
    assert written - set(out.split()) == set()


@pytest.mark.parametrize("command", ["protect", "verify", "web"])
def test_paragraphs_of_the_help_are_as_wide_as_the_terminal(edgefool, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "400")
    _, out, _ = edgefool(command, "--help")
    (limits,) = [line for line in out.splitlines() if "protection against people" in line or "protect photos" in line]
    assert "face recognition" in limits
    assert limits.rstrip().endswith(".")


def test_nothing_asked_shows_help(edgefool):
    code, stdout, stderr = edgefool()
    assert code == 2
    assert "Usage" in stdout + stderr
    assert "error" not in stdout + stderr


def test_version(edgefool):
    assert edgefool("--version") == (0, f"edgefool {package.__version__}\n", "")


def test_failure_of_the_system_is_one_line(tmp_path, finished, refuse):
    (tmp_path / "file").touch()
    arguments = ["figure", 5, finished.run, "--out", tmp_path / "file" / "figure.pdf"]
    refuse(*arguments, because=f"error: {tmp_path / 'file'}: ", code=1)


def test_interruption_is_one_line(tmp_path, attack, make_photo, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgefool.experiments.Experiment.__init__", interrupt)
    code, stdout, stderr = attack(make_photo(tmp_path / "cat.png"), "--out", tmp_path / "run")
    assert (code, stdout) == (130, "")
    assert stderr == "stopped; finished work is kept. Repeat the command to resume.\n"


def test_terminal_that_knows_no_greek(copied, monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding="ascii"))
    with pytest.raises(SystemExit) as end:
        package.cli.main(["check", str(copied.rename(copied.with_name("τ")))])
    sys.stdout.flush()
    assert end.value.code == 0
    assert stream.getvalue().endswith(b"/?: sound\n")


def test_quick_commands_do_not_wait_for_heavy_packages():
    """Nor does the first help wait for pydantic, which typer itself may import for values."""
    helps = [["--help"], ["--version"], ["list", "--help"], ["attack", "--help"], ["demo", "--help"]]
    code = f"""
import sys
from edgefool.cli import main
heavy = {{"torch", "torchvision", "numpy", "pandas", "matplotlib", "kornia", "PIL", "pydantic"}}
for command in {[*helps, ["list"], ["list", "datasets"]]!r}:
    try:
        main(command)
    except SystemExit as end:
        print("CODE", end.code, *heavy & sys.modules.keys())
    heavy.discard("pydantic")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    codes = [line for line in done.stdout.splitlines() if line.startswith("CODE")]
    assert codes == ["CODE 0"] * 7
    assert done.stderr == ""


def test_module_runs_the_command_line():
    done = subprocess.run([sys.executable, "-m", "edgefool", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"edgefool {package.__version__}\n", "")


def test_console_script_is_main():
    (script,) = distribution("edgefool").entry_points.select(name="edgefool")
    assert script.load() is package.cli.main


REQUIRED = {
    "attack": ["cat.png", "--out", "run"],
    "run": ["plan.toml", "--out", "run"],
    "evaluate": ["clean", "others", "--classifier", "resnet18"],
    "demo": [],
    "report": ["run"],
    "figure": ["5", "run"],
    "check": ["run"],
}
EMPTY = [
    *((command, [*some[:k], "", *some[k + 1 :]]) for command, some in REQUIRED.items() for k in range(len(some))),
    *(
        (command, [*REQUIRED[command], option, ""])
        for command, options in {
            "attack": [
                "--method",
                "--classifier",
                "--weights",
                "--classes",
                "--size",
                "--set",
                "--device",
                "--executor",
            ],
            "run": ["--device", "--executor"],
            "evaluate": ["--weights", "--labels", "--lpips", "--out", "--size", "--device"],
            "demo": ["--out"],
            "figure": ["--out", "--image", "--dataset", "--method", "--classifier"],
        }.items()
        for option in options
    ),
    ("attack", ["cat.png", "", "--out", "run"]),
    ("attack", ["cat.png", "--out="]),
    ("evaluate", [*REQUIRED["evaluate"], "--classifier", ""]),
    ("list", [""]),
]


@pytest.mark.parametrize(("command", "arguments"), EMPTY)
def test_an_empty_argument_is_an_error(tmp_path, monkeypatch, refuse, command, arguments):
    """As a path it would be the current folder."""
    monkeypatch.chdir(tmp_path)
    refuse(command, *arguments, because="")
    assert not list(tmp_path.iterdir())


COMMANDS = [["list"], ["--help"]]  # printed by our console and by typer


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("both", [False, True])
def test_an_output_that_is_closed_early(command, both):
    """As by `edgefool list | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "edgefool", *command]
    done = subprocess.run(line, stdout=writer, stderr=writer if both else subprocess.PIPE, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert not done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("end", "code"), [(">&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 1)])
def test_an_output_that_is_closed_or_full(command, end, code):
    line = shlex.join([sys.executable, "-m", "edgefool", *command])
    done = subprocess.run(["sh", "-c", f"{line} {end}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr in ("", "error: [Errno 28] No space left on device\n")


def test_a_run_whose_output_is_closed_early_is_kept(tmp_path, make_photo, tiny):
    reader, writer = os.pipe()
    os.close(reader)
    options = ["--out", tmp_path / "run", "--classifier", f"{tiny}:factory", "--method", "nfgsm", "--size", 32]
    command = [sys.executable, "-m", "edgefool", "attack", make_photo(tmp_path / "cat.png"), *options]
    done = subprocess.run(
        [str(part) for part in command], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert len((tmp_path / "run/records.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_user_without_a_home(tmp_path):
    """As in a container that runs as a number."""
    code = """
import pwd
pwd.getpwuid = lambda number: {}[number]
from edgefool.cli import main
main(["demo"])
"""
    hidden = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "EDGEFOOL_CACHE")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=hidden, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: this user has no home folder for downloads; set EDGEFOOL_CACHE"
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
