"""`edgefool check`."""

from edgefool.cli.console import out
from edgefool.cli.options import RunArgument
from edgefool.storage import parse_path
from edgefool.text import plain


def check(run_folder: RunArgument) -> int:
    """Verify the checksum of every line and the hash of every image of a run; change nothing."""
    from edgefool.runs import check_run

    folder = parse_path(run_folder)
    problems = check_run(folder)
    for problem in problems:
        out.print(plain(problem))
    out.print(f"{plain(str(folder))}: {'damaged' if problems else 'sound'}")
    return 1 if problems else 0
