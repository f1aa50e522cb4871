"""Files on disks and in object stores: which is meant, what is there, and how they are written so that they last."""

import errno
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn, TypeGuard

from edgefool.errors import UsageError
from edgefool.storage.address import Address, as_path, is_address

STORE_THREADS = 32
"""Threads that wait for an object store together."""

PARTIAL_SUFFIX = ".partial"
"""Ends the names of the files that `write_atomically` has not finished; leftovers may be deleted."""


def parse_path(text: str | Path) -> Path:
    """Return the path, or the address, that a text is; a path is returned as it is.

    An `Address` is no `pathlib.Path`, but has those of its methods that are used here, so that it counts as one in
    all annotations; `is_remote` tells them apart where it matters.

    Raises
    ------
    UsageError
        If it is an address that nothing installed can reach.
    """
    if not isinstance(text, str):
        return text
    if not is_address(text):
        return Path(text)
    return Path(text.removeprefix("file://")) if text.startswith("file://") else as_path(Address.parse(text))


def local_path(text: str | Path) -> Path:
    """Return the path that a text is; raise `UsageError` if it is an address."""
    if is_remote(text) or is_address(str(text)):
        raise UsageError(f"{text} must be a file on the disk of each machine that uses it, not an address")
    return Path(text)


def is_remote(path: object) -> TypeGuard[Address]:
    """Tell whether a path is an address in an object store."""
    return isinstance(path, Address)


def real_path(path: Path) -> Path:
    """Return a path without links; addresses have none, and links that go in circles stay."""
    return path if is_remote(path) else Path(os.path.realpath(path))  # type: ignore[return-value]


def is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path, by its name, is a folder or lies in it."""
    return is_remote(path) == is_remote(folder) and path.is_relative_to(folder)


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder; False where that cannot be told."""
    return path.is_dir() if is_remote(path) else os.path.isdir(path)


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders in a folder.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    if is_remote(folder):
        return folder.scan()  # type: ignore[return-value]

    def fail(error: OSError) -> NoReturn:
        raise error

    _, folders, files = next(os.walk(folder, onerror=fail))
    return [folder / name for name in files], [folder / name for name in folders]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that, whatever happens, it is there whole or as it was before; durable when this returns.

    On a disk the bytes are meanwhile in a file of another name in the same folder, one that no other writer has: of
    several that write to a path, the last one counts. An object store does all this by itself.

    Raises
    ------
    OSError
        No space left, no permission, no such folder, no answer; the unfinished file is deleted.
    """
    if is_remote(path):
        path.write_bytes(data)
        return
    partial = path.with_name(secrets.token_hex(8) + PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; durable when this returns.

    Raises
    ------
    OSError
        No space left, no permission, a file in the way.
    """
    if is_remote(folder) or folder.is_dir():  # a store has folders only in the names of objects
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def upload_folder(folder: Path, target: Address, last: str) -> None:
    """Put all files of a folder in the place of those at an address; ``last`` names the file that leads to the others.

    Raises
    ------
    OSError
        No permission, no answer: some files may be new then and others old.
    """
    files = {target / path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    gone = set(target.find()) - files.keys()
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        for addresses in (files.keys() - {target / last}, files.keys() & {target / last}):
            list(pool.map(lambda address: address.write_bytes(files[address].read_bytes()), addresses))
        list(pool.map(lambda address: address.unlink(missing_ok=True), gone))


def sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power failure."""
    if os.name == "nt":  # Windows does not open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # on some network file systems names need no waiting for
            raise
    finally:
        os.close(descriptor)
