"""Where reports lie: they show originals, so they are never among photos that people publish."""

from pathlib import Path

from edgefool.errors import UsageError

RECORDS = "photos.jsonl"
"""The file of a report that says what was done to each photo."""

_SUFFIX = "-report"


def report_of(folder: Path) -> Path:
    """Return the folder of the report on a folder of protected photos: next to it, never in it.

    Raises
    ------
    UsageError
        If the folder is a root, which has nothing next to it.
    """
    if not folder.name:
        raise UsageError(f"{folder} has no place for a report next to it; choose another folder")
    return folder.with_name(folder.name + _SUFFIX)


def is_report(folder: Path) -> bool:
    """Return whether a folder is a report on protected photos."""
    return folder.name.endswith(_SUFFIX) and (folder / RECORDS).is_file()


def folder_of_results(path: Path) -> Path | None:
    """Return the folder of protected photos that a path is or lies in, with links resolved; None if it is in none."""
    return next((folder for folder in (path, *path.parents) if folder.name and is_report(report_of(folder))), None)


def refuse_published(report: Path) -> None:
    """Raise `UsageError` if a report would lie among protected photos."""
    if folder := folder_of_results(report):
        raise UsageError(
            f"{report} would show originals inside {folder}, a folder of protected photos; choose another folder"
        )
