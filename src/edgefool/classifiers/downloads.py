"""Downloads of weights: each file is downloaded once and checked at every use.

Of the libraries that download a file from any URL, pooch 1.9.0 and ``torch.hub.download_url_to_file`` of torch 2.13
check SHA-256 and show progress but start again after an interruption, and huggingface_hub 2.4.0 resumes only in its
internal ``http_get``, which checks no hash. As the ResNet-50 files are 100 MB and servers drop connections, this module
does all three.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from edgefool.classifiers.catalogue import OFFLINE
from edgefool.errors import RunError, UsageError
from edgefool.storage import parse_path

_CHUNK = 1 << 16  # bytes
_TIMEOUT = 30  # seconds without a byte
WORK_OFFLINE = f"use a classifier that works offline: {', '.join(OFFLINE)}"
"""What to do without a network, for messages."""

_OTHER_CACHE = "set EDGEFOOL_CACHE to a folder that can be written"


def cache_folder() -> Path:
    """Return the folder of downloaded weights: ``EDGEFOOL_CACHE``, else the user's cache; it is made if it is missing.

    Raises
    ------
    RunError
        If there is no such folder and it cannot be made, as for a user without a home.
    """
    chosen = os.environ.get("EDGEFOOL_CACHE")
    try:
        folder = Path(chosen) if chosen else user_cache_path("edgefool")
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):  # of older versions of platformdirs, which would make a folder of that name here
        raise RunError(f"this user has no home folder for downloads; {_OTHER_CACHE}")
    with writing_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(
    url: str,
    sha256: str | None,
    folder: Path,
    *,
    validate: Callable[[Path], object] | None = None,
    progress: bool = True,
) -> Path:
    """Return the file of a URL in a folder, downloading it first if it is missing.

    An interrupted download resumes where it stopped. The file's hash is checked at every call.

    Parameters
    ----------
    url : str
        http or https; its last part is the file's name.
    sha256 : str or None
        SHA-256 of the file in hexadecimal, or its first digits. None: not published; the hash of the first file is
        recorded beside it (``NAME.sha256``) and checked from then on.
    folder : Path
        Where downloads are kept; created if missing. Several processes may share it.
    validate : callable, optional
        Raises `UsageError` if the file is not of the expected kind; called before its hash is recorded.
    progress : bool
        Show a bar while downloading, if stderr is a terminal.

    Raises
    ------
    RunError
        If the file cannot be downloaded, or its hash is not the expected one; the file is then renamed to ``NAME.bad``.
    """
    target = folder / Path(urlsplit(url).path).name
    if not target.exists():
        try:
            with writing_cache(folder):
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{target}.lock"):
                    if not target.exists():
                        _download(url, target, progress)
        except (URLError, ConnectionError, TimeoutError, SSLError, HTTPException) as error:
            reason = str(error)
            if not isinstance(error, HTTPError | HTTPException):
                reason = f"the server does not answer: {getattr(error, 'reason', error) or type(error).__name__}"
            raise RunError(
                f"cannot download {url} ({reason}); try again to resume, or put the file at {target.absolute()},"
                f" or {WORK_OFFLINE}"
            ) from error
    try:
        _verify(target, sha256, validate)
    except OSError as error:
        raise RunError(f"cannot check {target}: {error}; {_OTHER_CACHE}") from error
    return target


@contextmanager
def writing_cache(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into a `RunError` that says how to choose another folder; those of the network pass."""
    try:
        yield
    except (URLError, ConnectionError, TimeoutError, SSLError):
        raise
    except OSError as error:
        raise RunError(f"cannot write {folder} ({error.strerror or error}); {_OTHER_CACHE}") from error


def _download(url: str, target: Path, progress: bool) -> None:
    """Download to ``NAME.partial``, resuming an earlier call, then rename it."""
    partial = target.with_name(f"{target.name}.partial")
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "edgefool"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as response:  # noqa: S310 (catalogue URLs only)
            _save(response, partial, have if response.status == 206 else 0, progress)
    except HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing left to send, the file is complete
            raise
    partial.replace(target)


def _save(response: HTTPResponse, partial: Path, have: int, progress: bool) -> None:
    """Write the body of a response after the first ``have`` bytes of a file."""
    length = response.headers["Content-Length"]
    total = have + int(length) if length else None
    with partial.open("ab" if have else "wb") as file, _bar(progress) as bar:
        task = bar.add_task(partial.stem, total=total, completed=have)
        while chunk := response.read(_CHUNK):
            have += file.write(chunk)
            bar.update(task, completed=have)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have != total:
        raise HTTPException(f"cut off after {have} of {total} bytes")


def _bar(progress: bool) -> Progress:
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not (progress and console.is_terminal))


def _verify(path: Path, sha256: str | None, validate: Callable[[Path], object] | None) -> None:
    """Compare the hash of a file with the given or the recorded one; record it if there is neither."""
    record = path.with_name(f"{path.name}.sha256")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = sha256 or (record.read_text().partition(" ")[0] if record.exists() else "")
    if not expected:
        try:
            if validate:
                validate(path)
        except UsageError as error:
            raise _reject(path, str(error)) from error
        parse_path(record).write(f"{found}  {path.name}\n".encode())  # as sha256sum does
    elif not found.startswith(expected):
        renew = "" if sha256 else f", after deleting {record} if you trust the new file"
        raise _reject(path, f"{path} has SHA-256 {found[:16]}..., not {expected[:16]}...", renew)


def _reject(path: Path, reason: str, hint: str = "") -> RunError:
    """Rename a file to ``NAME.bad`` and return the error to raise."""
    bad = path.with_name(f"{path.name}.bad")
    path.replace(bad)
    return RunError(f"{reason}: not used, renamed to {bad.name}; try again to download it again{hint}")
