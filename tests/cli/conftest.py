"""Fixtures of the command line: what runs a plan, what is refused, and finished runs that tests share."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w

from edgefool.cli import main

TABLES = ("misleading", "transferability", "detectability", "quality")
BAD_NAMES = [b"[red]x[bold]", b"line\nbreak\r", b"\x1b[31mred\x07\x9b", b"\xff\xfe not UTF-8", "\u202egpj.exe".encode()]


@pytest.fixture
def run_plan(tmp_path: Path, edgefool: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Return what writes a plan and runs it, by default in the folder ``run``."""

    def run_plan(settings: dict[str, Any], *options: object, run: str = "run") -> tuple[int, str, str]:
        (tmp_path / "plan.toml").write_text(tomli_w.dumps(settings))
        return edgefool("run", tmp_path / "plan.toml", "--out", tmp_path / run, *options)

    return run_plan


@pytest.fixture
def refuse(edgefool: Callable[..., tuple[int, str, str]]) -> Callable[..., None]:
    """Return what asserts that a command fails with one plain line that says why."""

    def refuse(*arguments: object, because: str, code: int = 2) -> None:
        status, stdout, stderr = edgefool(*arguments)
        assert (status, stdout) == (code, "")
        assert because in stderr
        assert stderr.startswith("error: ")
        assert stderr.endswith("\n")
        assert stderr[:-1].isprintable()

    return refuse


@pytest.fixture
def read_tables() -> Callable[[Path], dict[str, pd.DataFrame]]:
    """Return what reads the tables of a run, without times."""

    def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
        tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
        return {name: table.drop(columns="seconds", errors="ignore") for name, table in tables.items()}

    return read_tables


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """Return what reads all files of a folder."""

    def snapshot(folder: Path) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    return snapshot


@pytest.fixture
def bad_names(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    """Return a folder with photos of bad names, half of them broken."""
    folder, photo = tmp_path / "[red]bad", make_photo(tmp_path / "good.png")
    folder.mkdir()
    for name in BAD_NAMES:
        try:
            shutil.copy(photo, os.path.join(os.fsencode(folder), name + b".png"))
            Path(os.fsdecode(os.path.join(os.fsencode(folder), b"bad" + name + b".png"))).touch()
        except OSError:
            pytest.skip("this file system takes only tame names")
    return folder


class Finished:
    """A finished run of a plan: six labelled photos, two classifiers, three methods. Copy it before you change it.

    Attributes
    ----------
    home
        Holds ``album``, ``labels.csv``, ``classifier.py``, ``plan.toml`` and ``run``.
    settings
        The plan.
    output
        What the command printed.
    """

    def __init__(self, home: Path, settings: dict[str, Any]):
        self.home, self.settings, self.run = home, settings, home / "run"
        self.output = self.repeat(self.run)

    def repeat(self, run: Path, *options: object, **changes: object) -> tuple[int, str, str]:
        """Run the plan, perhaps with other entries, in a folder."""
        (self.home / "plan.toml").write_text(tomli_w.dumps(self.settings | changes))
        stdout, stderr = io.StringIO(), io.StringIO()
        arguments = ["run", self.home / "plan.toml", "--out", run, *options]
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code, stdout.getvalue(), stderr.getvalue()


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_photo: Callable[..., Path], classifier_source: str
) -> Iterator[Finished]:
    """Return a run in which N-FGSM fools the first classifier with every photo; its page has empty figures."""
    home = tmp_path_factory.mktemp("finished")
    for seed in range(6):
        make_photo(home / "album" / f"{seed}.png", seed)
    (home / "labels.csv").write_text("file,label\n0.png,1\n1.png,2\n3.png,0\n5.png,\n")
    (home / "classifier.py").write_text(classifier_source)
    labelled = {"kind": "folder", "name": "pics", "path": "album", "labels": "labels.csv", "num_classes": 5}
    settings = {
        "datasets": [labelled],
        "classifiers": [
            {"name": "classifier.py:factory", "label": "first"},
            {"name": "classifier.py:other", "label": "other"},
        ],
        "methods": [
            {"name": "enhance"},
            {"name": "semanticadv", "constants": {"trials": 20}},
            {"name": "nfgsm", "constants": {"max_iterations": 3, "alpha": 0.06, "epsilon": 0.2}},
        ],
        "size": 32,
        "squeezers": ["bits4", "median2"],
        "false_positive_rate": 0.2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgefool.report.page.encode_figure", lambda *_: b"")
        return Finished(home, settings)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """Return a copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished.run, tmp_path / "copied"))
