"""The wheel: what is in it, and that it works outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edgefool
from edgefool.datasets.demo import write_demo_photos

REPOSITORY = Path(__file__).resolve().parent.parent


def run(*command, cwd):
    """Run a command as a user would who has no checkout, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(map(str, command), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=REPOSITORY)
    (wheel,) = folder.iterdir()
    return wheel


@pytest.fixture
def make_environment(tmp_path):
    """Return what makes an environment outside the checkout and installs into it; it is given pip's arguments."""

    def make(*arguments):
        run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
        python = tmp_path / "venv/bin/python"
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *arguments, cwd=tmp_path)
        return python

    return make


def use(python, tmp_path):
    """Ask the installed command for help and a list, and attack a photo with a classifier of the package."""
    command = python.with_name("edgefool")
    (photo,) = write_demo_photos(tmp_path / "photos", ["cat"])
    location = run(python, "-c", "import edgefool; print(edgefool.__file__, edgefool.__version__)", cwd=tmp_path)
    assert location == f"{next((tmp_path / 'venv').rglob('edgefool/__init__.py'))} {edgefool.__version__}\n"
    assert "attack" in run(command, "--help", cwd=tmp_path)
    assert "caltech101-resnet" in run(command, "list", cwd=tmp_path)
    options = ("--classifier", "caltech101-resnet", "--size", "64")
    run(command, "attack", photo, "--out", tmp_path / "run", *options, cwd=tmp_path)
    assert [path.name for path in (tmp_path / "run/images").rglob("*.png")] == ["cat.png"]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("which files belong to the package is read from git, and this is no checkout")
    tracked = run("git", "ls-files", "-z", "src/edgefool", cwd=REPOSITORY).split("\0")
    expected = {name.removeprefix("src/") for name in tracked if name}
    about = f"edgefool-{edgefool.__version__}.dist-info/"
    metadata = {about + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == expected | metadata


def test_the_wheel_works_with_the_dependencies_of_the_tests(wheel, make_environment, tmp_path):
    python = make_environment("--no-deps", "--no-index", wheel)
    site = next((tmp_path / "venv").rglob("site-packages"))
    (site / "tests.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    use(python, tmp_path)


@pytest.mark.registry
@pytest.mark.timeout(1800)
def test_the_wheel_works_in_an_empty_environment(wheel, make_environment, tmp_path):
    use(make_environment("--constraint", REPOSITORY / "constraints.txt", wheel), tmp_path)
