"""Files of weights: read without running code from them, or refused in one line that says what the file is."""

import argparse
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from edgefool.errors import UsageError

_HEADER_LIMIT = 100_000_000  # bytes, of safetensors
_ORIGINAL = "use the PyTorch weights that it was made from"
_OWN_FILE = "or write a Python file with a function that returns the network"
_KINDS = {
    rb"version https://git-lfs": "a Git LFS pointer, a note where the weights are; fetch them with: git lfs pull",
    rb"(\xef\xbb\xbf)?\s*<[!?a-z]": "a web page, so the download went wrong or needs a login; download it again",
    rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]": f"an ONNX model; {_ORIGINAL}, {_OWN_FILE}",
    rb"\x89HDF": f"an HDF5 file, as Keras writes; convert the weights to PyTorch, {_OWN_FILE}",
    rb"GGUF": f"a GGUF file; {_ORIGINAL}",
    rb"\x1f\x8b|7z|Rar!|BZh|\xfd7zXZ": "a compressed archive; unpack it and name the file of weights inside",
}
"""By what a file begins with (a regular expression): what it is, and what would work."""

_CODE = ("GLOBAL", "unrecognized function", "Can only create new object", "Can only build")
"""Parts of the messages in which torch's restricted unpickler reports more than tensors and containers."""


def read_weights_file(path: Path) -> object:
    """Return what a file of weights holds: tensors by name, and for ``torch.save`` whatever else was saved with them.

    Parameters
    ----------
    path : Path
        safetensors, or a file of ``torch.save`` (old formats and Python 2 included), under any suffix.

    Raises
    ------
    UsageError
        If the file is missing, is something else, is damaged, or cannot be read without running code.
    """
    if not path.is_file():
        raise UsageError(f"no weights file at {path}")
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        raise UsageError(f"{path} is not a checkpoint: it is empty")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _HEADER_LIMIT:
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UsageError(f"{path} is not a complete safetensors file: {error}") from error
    kind = next((kind for pattern, kind in _KINDS.items() if re.match(pattern, head, re.IGNORECASE)), None)
    if kind := kind or _kind_of_archive(path):
        raise UsageError(f"{path} is not a checkpoint: it is {kind}")
    return _read_torch(path)


def _kind_of_archive(path: Path) -> str | None:
    """Return what a zip archive is, if it is none of ``torch.save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2]: name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return None
    if "constants.pkl" in names:
        save = "save torch.jit.load(FILE).state_dict() with torch.save"
        return f"a TorchScript archive, which holds code; {save}, {_OWN_FILE}"
    if "data.pkl" not in names:
        return f"a zip archive without a checkpoint of torch.save; use the PyTorch weights, {_OWN_FILE}"
    return None


def _read_torch(path: Path) -> object:
    try:
        # The arguments that training scripts save are no code. An open file, as torch goes by the suffix of a name.
        safe = torch.serialization.safe_globals([argparse.Namespace])
        with path.open("rb") as file, safe, warnings.catch_warnings():
            # torch warns that the encoding has no effect, but it has one in the old format.
            warnings.simplefilter("ignore", UserWarning)
            # latin1 reads any string from Python 2, which wrote the Places365 files.
            return torch.load(file, map_location="cpu", weights_only=True, encoding="latin1")
    except Exception as error:  # damaged files raise all kinds of errors
        if isinstance(error, pickle.UnpicklingError) and any(sign in str(error) for sign in _CODE):
            raise UsageError(
                f"{path} refused: reading it would run code; save the weights alone, torch.save(net.state_dict(), ...)"
            ) from error
        raise UsageError(f"{path} is not a checkpoint, or is damaged ({type(error).__name__})") from error
