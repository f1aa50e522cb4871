"""Run every benchmark at its small size and write a table, with a description of the machine."""

import argparse
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

COMMANDS = (
    "startup",
    "l0_smoothing",
    "iteration",
    "kernels --rounds 3",
    "passes --rounds 3 --batch-sizes 4",
    "edgefool --classifier caltech101-resnet --images 7 --authors 1",
    "occupancy",
    "scaling --classifier caltech101-resnet --iterations 2",
    "scaling --subject robust --photos 4",
    "scaling --subject protect --photos 1 4",
    "growth --records 10000",
    "detection --images 32",
    "readings --classifier caltech101-resnet --limit 2 --few 1 --seconds 5",
    "classify --rounds 2",
    "bookkeeping --cells 1000",
    "workers --times 0 --images 500",
    "driver --images 20000",
    "methods --classifier caltech101-resnet --images 7 --cw-iterations 20 --sparse-images 1",
)


def machine() -> str:
    """Return what the times depend on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{model}, {torch.get_num_threads()} threads, {memory:.0f} GiB", f"torch {version('torch')}"]
    if torch.cuda.is_available():
        parts.insert(1, torch.cuda.get_device_name())
    return "; ".join([*parts, platform.platform(), f"{datetime.now(UTC):%Y-%m-%d}"])


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    """Write the table as it grows, so that an interrupted run leaves what it measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks.md"))
    arguments = parser.parse_args()
    text = f"# Benchmarks\n\n{machine()}\n\n| command | took | what it printed |\n| --- | --- | --- |\n"
    failed = []
    for command in COMMANDS:
        print(f"python -m benchmarks.{command}", flush=True)
        start = time.perf_counter()
        run = subprocess.run(  # noqa: S603
            [sys.executable, "-m", *f"benchmarks.{command}".split()], capture_output=True, text=True
        )
        if run.returncode:
            failed.append(command)
        output = run.stdout.strip() if run.returncode == 0 else run.stderr.strip().splitlines()[-1]
        print(output, flush=True)
        cells = "<br>".join(line.strip().replace("|", "\\|") for line in output.splitlines())
        text += f"| `{command}` | {time.perf_counter() - start:.0f} s | {cells} |\n"
        arguments.out.write_text(text, encoding="utf-8")
    print(f"the table: {arguments.out}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
