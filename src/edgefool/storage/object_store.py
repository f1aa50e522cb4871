"""A store that fsspec reaches, such as S3: objects are written whole, cannot grow, and have no folders.

This module does not use universal_pathlib, which caches data that other processes change, sends more requests than
needed and passes on the errors of its clients.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from edgefool.errors import UsageError, reason_of
from edgefool.storage.run_lock import Lease
from edgefool.storage.store import STORE_THREADS, Kind, RunLock, Stat, Store, StorePath

_S3 = ("s3", "s3a")


@dataclass(frozen=True)
class ObjectStore(Store):
    """Objects of one kind of store; keys begin with the bucket.

    Raises
    ------
    UsageError
        If nothing installed can reach it.
    """

    scheme: str

    can_append: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_reachable(self.scheme)

    def url(self, key: str) -> str:
        """Return the address."""
        return f"{self.scheme}://{key}"

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        with self._client(key) as client:
            return bytes(client.cat_file(self.url(key)))

    def write(self, key: str, data: bytes) -> None:
        """Write an object by one request."""
        with self._client(key) as client:
            client.pipe_file(self.url(key), data)

    def create(self, key: str, data: bytes) -> None:
        """Write an object if there is none, else raise `FileExistsError`; ``ENOSYS`` if the store does not check."""
        with self._client(key) as client:
            client.pipe_file(self.url(key), data, mode="create")

    def append(self, key: str, data: bytes, *, durable: bool) -> None:
        """Refuse: an object cannot grow."""
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), self.url(key))

    def delete(self, key: str) -> None:
        """Delete an object."""
        with suppress(FileNotFoundError), self._client(key) as client:
            client.rm_file(self.url(key))

    def kind(self, key: str) -> Kind | None:
        """Return whether there is an object of this name, or others whose names begin with it."""
        info = self._info(key)
        return None if info is None else "file" if info["type"] == "file" else "folder"

    def stat(self, key: str) -> Stat | None:
        """Return size and version of an object."""
        info = self._info(key)
        return None if info is None or info["type"] != "file" else _stat(info)

    def modified(self, key: str) -> datetime:
        """Return when an object was written, by the store's clock."""
        with self._client(key) as client:
            when: datetime = client.modified(self.url(key))
            return when

    def list_folder(self, key: str) -> tuple[list[str], list[str]]:
        """Return the objects and folders in a folder; none where there is nothing."""
        try:
            with self._client(key) as client:
                found = client.ls(self.url(key), detail=True)
        except FileNotFoundError:
            return [], []
        inside = [(entry["name"].strip("/"), entry["type"]) for entry in found]
        inside = [(name, kind) for name, kind in inside if name != key]  # consoles mark folders by empty objects
        return [name for name, kind in inside if kind == "file"], [name for name, kind in inside if kind == "directory"]

    def walk(self, key: str) -> list[str]:
        """Return the visible objects below a key."""
        return [f"{key}/{name}" for name in self.find(key) if not _is_hidden(name)]

    def glob(self, pattern: str) -> list[str]:
        """Return the objects that match; hidden ones only if the pattern names them."""
        with self._client(pattern) as client:
            found = client.glob(self.url(pattern), detail=True)
        names = sorted(name.strip("/") for name, entry in found.items() if entry["type"] == "file")
        return [name for name in names if "/." in f"/{pattern}" or not _is_hidden(name)]

    def find(self, key: str) -> dict[str, Stat]:
        """Return all objects below a key, by one listing."""
        with self._client(key) as client:
            found = client.find(self.url(key), detail=True)
        if not found:
            self._info(key)  # fsspec leaves out what it cannot list; this fails if the server does not answer
        below = {PurePosixPath(name.strip("/")): entry for name, entry in found.items()}
        return {
            path.relative_to(key).as_posix(): _stat(entry)
            for path, entry in sorted(below.items())
            if path != PurePosixPath(key)
        }

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return those keys that lead to no object, by one listing of the folder that they share."""
        wanted = list(keys)
        folder = os.path.commonpath([os.path.dirname(key) for key in wanted]) if wanted else ""
        there = {f"{folder}/{name}" for name in self.find(folder)} if wanted else set()
        return [key for key in wanted if key not in there]

    def make_folder(self, key: str) -> None:
        """Do nothing: folders exist in names only."""

    def copy_to(self, key: str, target: Path) -> None:
        """Download an object."""
        target.write_bytes(self.read(key))

    def replace_folder(self, key: str, build: Callable[[Path], None], last: str) -> None:
        """Build the folder on this machine, upload its files, ``last`` last, and delete other files of the old one.

        Until then readers may see files of both.
        """
        with TemporaryDirectory(prefix="edgefool-") as temporary, ThreadPoolExecutor(STORE_THREADS) as pool:
            folder = Path(temporary)
            build(folder)
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            old = self.find(key).keys() - files.keys()
            for names in (files.keys() - {last}, files.keys() & {last}):
                list(pool.map(lambda name: self.write(f"{key}/{name}", files[name].read_bytes()), names))
            list(pool.map(lambda name: self.delete(f"{key}/{name}"), old))

    def remove_leftovers(self, key: str) -> None:
        """Do nothing: an unfinished object is invisible."""

    def lock(self, key: str) -> AbstractContextManager[RunLock]:
        """Hold a lease on the folder."""
        return Lease(StorePath(self, key), self)

    def _info(self, key: str) -> dict[str, Any] | None:
        with suppress(FileNotFoundError), self._client(key) as client:
            return dict(client.info(self.url(key)))
        return None

    @contextmanager
    def _client(self, key: str) -> Iterator[Any]:
        """Yield fsspec's file system, and turn whatever its client raises into an `OSError` with the address."""
        try:
            yield connect(self.scheme, os.getpid())
        except Exception as error:  # each client raises its own exceptions
            raise _as_oserror(error, self.url(key)) from error


# Names, as the clients' packages need not be installed: of Python, aiohttp and botocore.
_NO_ANSWER = {"ConnectionError", "TimeoutError", "ClientConnectionError", "HTTPClientError"}
_GONE = (404, 410)  # HTTP
_ERRNO = {
    FileNotFoundError: errno.ENOENT,
    NotADirectoryError: errno.ENOENT,
    PermissionError: errno.EACCES,
    FileExistsError: errno.EEXIST,
    NotImplementedError: errno.ENOSYS,
}


def _as_oserror(error: BaseException, url: str) -> OSError:
    """Return an `OSError` with the address for whatever a client raises."""
    cause = error.__cause__
    if (
        isinstance(error, FileNotFoundError)
        and cause
        and (_gives_no_answer(cause) or getattr(cause, "status", 404) not in _GONE)
    ):
        error = cause  # fsspec says of every failure over HTTP that the file does not exist
    words = reason_of(error)
    if _gives_no_answer(error):
        number, words = errno.EIO, f"the server does not answer ({words or type(error).__name__})"
    else:
        known = next((n for kind, n in _ERRNO.items() if isinstance(error, kind)), None)
        number = known or (error.errno if isinstance(error, OSError) else None) or errno.EIO
    words = " ".join(words.split())
    return OSError(number, words if " " in words else os.strerror(number), url)


def _gives_no_answer(error: BaseException) -> bool:
    return not _NO_ANSWER.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def _stat(entry: dict[str, Any]) -> Stat:
    version = entry.get("ETag") or entry.get("etag") or entry.get("LastModified") or entry.get("mtime") or ""
    return Stat(int(entry.get("size") or 0), str(version))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@cache
def connect(scheme: str, process: int) -> Any:
    """Return the file system of a store, shared by the threads of a process; a fork needs a new one."""
    import fsspec

    # Other processes write too: nothing is cached, and objects are read at once, not in ranges.
    options = {"max_concurrency": 1} if scheme in _S3 else {}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)


@cache
def _check_reachable(scheme: str) -> None:
    try:
        import fsspec

        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        if scheme in _S3:
            raise UsageError(f"{scheme}://... needs edgefool[s3]: pip install 'edgefool[s3]'") from error
        raise UsageError(f"{scheme}://... cannot be reached: {error}") from error
    except ValueError as error:
        raise UsageError(f"{scheme}://... is not a known kind of store") from error
