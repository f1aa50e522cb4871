"""Weights: downloaded once, checked at every use, and read without running code."""

import hashlib
import os
import pickle
import warnings
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edgefool.errors import RunError, UsageError

_CHUNK = 1 << 16  # bytes
_TIMEOUT = 30  # seconds without a byte
_NESTS = ("state_dict", "model")
_CODE = ("GLOBAL", "unrecognized function", "Can only create new object", "Can only build")
"""How torch's restricted unpickler begins to say that a file asks for more than tensors and containers."""


def cache_folder() -> Path:
    """Return the folder of downloaded weights: ``EDGEFOOL_CACHE``, else the user's cache."""
    chosen = os.environ.get("EDGEFOOL_CACHE")
    return Path(chosen) if chosen else user_cache_path("edgefool")


def fetch(url: str, sha256: str | None, folder: Path, *, progress: bool = True) -> Path:
    """Return the file of a URL from a folder, after downloading it there if it is missing.

    A download cut short goes on where it stopped. The file's hash is checked at every call.

    Parameters
    ----------
    url : str
        http or https; its last part is the file's name.
    sha256 : str or None
        SHA-256 of the file in hexadecimal, or its first digits. None: the hash of the first file that reads as a
        checkpoint is written beside it (``NAME.sha256``) and checked from then on.
    folder : Path
        Where downloads are kept; made if need be. Several processes may share it.
    progress : bool
        Show a bar while downloading, if stderr is a terminal.

    Raises
    ------
    RunError
        If the file cannot be downloaded, or its hash is not the one expected; it is then set aside as ``NAME.bad``.
    """
    target = folder / Path(urlsplit(url).path).name
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{target}.lock"):
                if not target.exists():
                    _download(url, target, progress)
        except (OSError, HTTPException) as error:
            raise RunError(
                f"cannot download {url} ({error}); try again to go on, or put the file at {target.absolute()},"
                " or work offline with --classifier caltech101-resnet"
            ) from error
    _check(target, sha256)
    return target


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without running any code it may carry.

    Parameters
    ----------
    path : Path
        safetensors, or a file of ``torch.save`` (old formats and Python 2 too). The tensors may lie under
        ``"state_dict"`` or ``"model"``, and ``module.`` (left in names by DataParallel) is taken out.

    Returns
    -------
    dict of str to Tensor
        On the CPU; floating-point tensors of any precision as float32.

    Raises
    ------
    UsageError
        If the file is missing, is not a checkpoint, or holds anything that needs code to be read.
    """
    if not path.is_file():
        raise UsageError(f"no weights file at {path}")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    tensors = read(path)
    for nest in _NESTS:
        if isinstance(tensors, dict) and isinstance(tensors.get(nest), dict):
            tensors = tensors[nest]
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(x, Tensor) for x in tensors.values()):
        raise UsageError(f"{path} is not a checkpoint: it should hold tensors by name (a state_dict)")
    return {_plain(name): x.float() if x.is_floating_point() else x for name, x in tensors.items()}


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} is not a whole safetensors file: {error}") from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch says that the encoding has no effect; it has, in its old format.
            warnings.filterwarnings("ignore", "pickle_load_args only works", UserWarning)
            # latin1 reads any string of Python 2, in which the Places365 files were written.
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        if isinstance(error, pickle.UnpicklingError) and any(sign in str(error) for sign in _CODE):
            raise UsageError(
                f"{path} refused: reading it would run code; save the weights alone, torch.save(net.state_dict(), ...)"
            ) from error
        raise UsageError(f"{path} is not a checkpoint, or is damaged ({type(error).__name__})") from error


def _plain(name: object) -> str:
    return ".".join(part for part in str(name).split(".") if part != "module")


def _download(url: str, target: Path, progress: bool) -> None:
    """Write the URL to ``NAME.partial``, going on where an earlier try stopped, then rename it."""
    partial = target.with_name(f"{target.name}.partial")
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "edgefool"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as response:  # noqa: S310 (catalogue URLs only)
            _save(response, partial, have if response.status == 206 else 0, progress)
    except HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing is left to send, the file is whole
            raise
    partial.replace(target)


def _save(response: HTTPResponse, partial: Path, have: int, progress: bool) -> None:
    """Write the body of a response behind the first ``have`` bytes of a file."""
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
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not (progress and console.is_terminal))


def _check(path: Path, sha256: str | None) -> None:
    """Compare a file's hash with the one given, else with the one remembered, else remember it."""
    memory = path.with_name(f"{path.name}.sha256")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = sha256 or (memory.read_text().partition(" ")[0] if memory.exists() else "")
        if not expected:
            _remember(path, memory, found)
        elif not found.startswith(expected):
            bad = path.with_name(f"{path.name}.bad")
            path.replace(bad)
            renew = "" if sha256 else f", after deleting {memory} if the new file is to be trusted"
            raise RunError(
                f"{path} has SHA-256 {found[:16]}..., not {expected[:16]}...: not used, set aside as {bad.name};"
                f" try again to download it anew{renew}"
            )
    except OSError as error:
        raise RunError(f"cannot check {path}: {error}") from error


def _remember(path: Path, memory: Path, sha256: str) -> None:
    """Write the hash in the manner of ``sha256sum``, once the file has proved to be a checkpoint."""
    try:
        read_state_dict(path)
    except UsageError as error:
        bad = path.with_name(f"{path.name}.bad")
        path.replace(bad)
        raise RunError(f"{error}: not used, set aside as {bad.name}; try again to download it anew") from error
    fresh = memory.with_name(f"{memory.name}.new")
    fresh.write_text(f"{sha256}  {path.name}\n")
    fresh.replace(memory)
