"""Names of classes, from a file, else those of the training data, else numbers; and the classes of these names."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from edgefool.classifiers import vision
from edgefool.classifiers.catalogue import NUM_CLASSES, TrainingData
from edgefool.errors import UsageError, unknown
from edgefool.storage import local_path
from edgefool.text import decode

DATA = Path(__file__).parent / "data"
"""Folder of the shipped weights and class names."""


def class_names(count: int, file: Path | str | None = None, dataset: TrainingData | None = None) -> tuple[str, ...]:
    """Return the names of the classes of a classifier, in the order of its logits.

    Parameters
    ----------
    count : int
        Number of classes.
    file : path, optional
        Text file with one name a line, in UTF-8 or, with a byte order mark, UTF-16. Blank lines do not count.
    dataset : str, optional
        Training data of the classifier. Without it, or if it has another number of classes: the names of ImageNet for
        1000 classes, those of Places365 for 365, else the indices.

    Raises
    ------
    UsageError
        If the file cannot be read or has another number of names.
    """
    if file is not None:
        names = read_class_names(file)
        if len(names) != count:
            raise UsageError(f"{file} names {len(names)} classes; the classifier has {count}")
        return names
    candidates: tuple[TrainingData | None, ...] = (dataset, "ImageNet", "Places365")
    for known in candidates:
        if known and NUM_CLASSES[known] == count:
            return _names_of(known)
    return tuple(str(index) for index in range(count))


def read_class_names(file: Path | str) -> tuple[str, ...]:
    """Return the names in a text file, see `class_names`.

    Raises
    ------
    UsageError
        If the file cannot be read.
    """
    try:
        text = decode(local_path(file).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the class names of {file}: {error}") from error
    return tuple(line.strip() for line in re.split(r"[\r\n]+", text) if line.strip())


def find_class(name: int | str, classes: Sequence[str], classifier: str) -> int:
    """Return the index of a class, given by its index or its name, in upper or lower case.

    Parameters
    ----------
    name : int or str
        The class. A number is an index, unless a class has it as its name.
    classes : sequence of str
        Names of the D classes.
    classifier : str
        Name of the classifier, for errors.

    Raises
    ------
    UsageError
        If there is none, or there are several of that name.

    >>> find_class("dog", ["Cat", "Dog"], "tiny"), find_class("0", ["Cat", "Dog"], "tiny")
    (1, 0)
    """
    if isinstance(name, str):
        found = [k for k, other in enumerate(classes) if other.casefold() == name.casefold()]
        if len(found) > 1:
            indices = ", ".join(map(str, found))
            raise UsageError(f"{classifier} has several classes named {name!r}; use an index: {indices}")
        if found:
            return found[0]
        if not name.isdecimal():
            raise unknown(f"class of {classifier}", name, classes)
    if (index := int(name)) >= len(classes):
        raise UsageError(f"{classifier} has the classes 0 to {len(classes) - 1}, not {index}")
    return index


def _names_of(dataset: TrainingData) -> tuple[str, ...]:
    if dataset == "ImageNet":
        return tuple(vision.torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
    if dataset == "Places365":
        return tuple((DATA / "places365_classes.txt").read_text(encoding="utf-8").splitlines())
    with safe_open(DATA / "caltech101_resnet.safetensors", "pt") as file:
        return tuple(json.loads(file.metadata()["classes"]))
