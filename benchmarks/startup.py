"""How fast the command line answers, each time in a new process."""

import subprocess
import sys
from functools import partial

from benchmarks.timing import in_turns

COMMANDS = (["--help"], ["attack", "--help"], ["list"], ["list", "methods"])


def main() -> None:
    """Print the seconds of each command."""
    runs = [
        partial(subprocess.run, [sys.executable, "-m", "edgefool", *command], check=True, capture_output=True)
        for command in COMMANDS
    ]
    for command, seconds in zip(COMMANDS, in_turns(*runs, rounds=5), strict=True):
        print(f"edgefool {' '.join(command)}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
