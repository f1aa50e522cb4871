"""A store on a disk, or on a file system that several machines share."""

import errno
import glob
import os
import shutil
import stat as stat_module
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, NoReturn

from edgefool.storage.partial_names import is_partial, partial_name
from edgefool.storage.run_lock import file_lock
from edgefool.storage.store import Kind, RunLock, Stat, Store, StorePath

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class LocalStore(Store):
    """Files; keys are absolute paths."""

    can_append: ClassVar[bool] = True

    def url(self, key: str) -> str:
        """Return the path."""
        return key

    def read(self, key: str) -> bytes:
        """Return the content of a regular file; opening a pipe would block forever."""
        mode = os.stat(key).st_mode
        if stat_module.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", key)
        if not stat_module.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", key)
        with _naming(key):
            return Path(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Write a temporary file in the same folder, sync it, rename it and sync the folder."""
        path = Path(key)
        partial = path.with_name(partial_name())
        self.make_folder(str(path.parent))
        with _naming(key):
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def append(self, key: str, data: bytes, *, durable: bool) -> None:
        """Append to a file; after a failure it is as long as before."""
        path = Path(key)
        size = path.stat().st_size if path.exists() else 0
        with _naming(key):
            try:
                with path.open("ab") as file:
                    file.write(data)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                if durable and not size:
                    _sync_folder(path.parent)  # the name is new
            except BaseException:
                with suppress(OSError):
                    os.truncate(path, size)  # or the next line would continue this half
                raise

    def delete(self, key: str) -> None:
        """Delete a file."""
        Path(key).unlink(missing_ok=True)

    def kind(self, key: str) -> Kind | None:
        """Return what a path leads to."""
        if found := _stat(key):
            return "folder" if stat_module.S_ISDIR(found.st_mode) else "file"
        return "file" if os.path.islink(key) else None

    def stat(self, key: str) -> Stat | None:
        """Return size and time of modification."""
        found = _stat(key)
        if found is None or not stat_module.S_ISREG(found.st_mode):
            return None
        return Stat(found.st_size, str(found.st_mtime_ns))

    def list_folder(self, key: str) -> tuple[list[str], list[str]]:
        """Return the files and folders in a folder; links to folders are folders."""
        _, folders, files = next(os.walk(key, onerror=_fail))
        return [os.path.join(key, name) for name in files], [os.path.join(key, name) for name in folders]

    def walk(self, key: str) -> list[str]:
        """Return the visible files below a folder; links to folders are not followed."""
        paths: list[str] = []
        for parent, folders, files in os.walk(key, onerror=_fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths += [os.path.join(parent, name) for name in files if not name.startswith(".")]
        return paths

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match, by Python's `glob`."""
        return [path for path in glob.iglob(pattern, recursive=True) if not os.path.isdir(path)]

    def find(self, key: str) -> dict[str, Stat]:
        """Return all regular files below a folder."""
        found: dict[str, Stat] = {}
        if os.path.isdir(key):
            for parent, _, files in os.walk(key, onerror=_fail):
                inside = "" if parent == key else os.path.relpath(parent, key)
                for name in files:
                    if stat := self.stat(os.path.join(parent, name)):
                        found[os.path.join(inside, name)] = stat
        return found

    def resolve(self, key: str) -> str:
        """Return the path without links; a circle of links is left as it is."""
        return os.path.realpath(key)

    def make_folder(self, key: str) -> None:
        """Make folders, and sync the names of the new ones."""
        folder = Path(key)
        if folder.is_dir():
            return
        with _naming(key):
            missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
            folder.mkdir(parents=True, exist_ok=True)
            for path in missing:
                _sync_folder(path.parent)

    def copy_to(self, key: str, target: Path) -> None:
        """Link the file, or copy it to another disk or where there are no links."""
        try:
            os.link(key, target)
        except OSError:
            shutil.copyfile(key, target)

    def replace_folder(self, key: str, build: Callable[[Path], None], last: str) -> None:
        """Build a folder beside the old one and rename it."""
        folder = Path(key)
        building, old = folder.with_name(f".{folder.name}"), folder.with_name(f".{folder.name}-old")
        _remove_leftovers(folder, building, old)  # of a process that was killed
        building.mkdir(parents=True)
        try:
            build(building)
            if folder.exists():
                folder.rename(old)
            building.rename(folder)
        finally:
            _remove_leftovers(folder, building, old)

    def remove_leftovers(self, key: str) -> None:
        """Delete unfinished files."""
        for leftover in Path(key).rglob("*.partial"):
            if is_partial(leftover.name) and not leftover.is_dir():  # the label of a cell may look like this
                leftover.unlink(missing_ok=True)

    def lock(self, key: str) -> AbstractContextManager[RunLock]:
        """Lock the folder by a file in it."""
        return file_lock(StorePath(self, key))


def _stat(key: str) -> os.stat_result | None:
    try:
        return os.stat(key)
    except OSError as error:
        if error.errno not in _NOTHING_THERE:
            raise
        return None


def _fail(error: OSError) -> NoReturn:
    raise error


def _remove_leftovers(folder: Path, building: Path, old: Path) -> None:
    if old.exists() and not folder.exists():  # the process was killed between the two renames
        old.rename(folder)
    for leftover in (building, old):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Put the file's own name into errors: a full disk reports none, and users do not know the temporary names."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, key) from error


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power failure."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems refuse: names are durable there at once
            raise
    finally:
        os.close(descriptor)
