"""Classifiers from a function in a user's Python file."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from edgefool.classifiers.class_names import class_names
from edgefool.classifiers.classifier import Classifier
from edgefool.classifiers.own_modules import OwnModules
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.classifiers.probe import count_logits, describe
from edgefool.errors import UsageError, check_known
from edgefool.storage import local_path


def load_factory(name: str, classes: Path | str | None = None, size: int | None = None) -> Classifier:
    """Return the classifier that a function in a Python file returns. The file is run.

    The fingerprint covers the file, and the modules that it imports from its own folder.

    Parameters
    ----------
    name : str
        ``path/to/file.py:function``; the function takes no arguments and returns an ``nn.Module`` from images in
        [0, 1] to logits.
    classes : path, optional
        See `class_names`.
    size : int, optional
        Side in pixels of the images that it has to classify; see `count_logits`.

    Raises
    ------
    UsageError
        If the file or function does not exist, fails, calls ``sys.exit`` or reads the command line, or its module does
        not give at least two logits for each image.
    """
    file, _, function = name.rpartition(":")
    path = local_path(file)
    if not path.is_file():
        raise UsageError(f"no Python file at {path}")
    modules = OwnModules(path.resolve())
    with modules.loading():
        net = _call_factory(modules, path, function)
        count = count_logits(net.eval(), name, size)
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest(), modules.sha256()]
    return Classifier(
        net,
        name=f"{path.stem}-{function}",
        classes=class_names(count, classes),
        architecture=" ".join([f"{path.name}:{function}", *filter(None, hashes)]),
        preprocessing=Preprocessing(),
    )


def _call_factory(modules: OwnModules, path: Path, function: str) -> nn.Module:
    with _user_code(f"{path} cannot be imported", modules):
        module = modules.import_file()
    factories = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    check_known(f"function in {path}", function, factories)
    with _user_code(f"{path}:{function} failed", modules):
        net = getattr(module, function)()
    if not isinstance(net, nn.Module):
        raise UsageError(f"{path}:{function} returned a {type(net).__name__}, not an nn.Module")
    return net


@contextmanager
def _user_code(failure: str, modules: OwnModules) -> Iterator[None]:
    """Raise a `UsageError` that begins with ``failure`` if the code fails, exits or reads the command line."""
    arguments, sys.argv = sys.argv, _NoArguments([__name__])
    try:
        yield
    except (Exception, SystemExit) as error:
        raise UsageError(f"{failure}: {describe(error)}".replace(f"{modules.package}.", "")) from error
    finally:
        sys.argv = arguments


class _NoArguments(list[str]):
    """The command line is EdgeFool's: ``argparse`` in a user's file would take or refuse what is not meant for it."""

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return super().__getitem__(0)
        raise RuntimeError("it reads sys.argv, the arguments of another program; move that under `if __name__ == ...`")
