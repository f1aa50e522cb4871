"""Private-Places365: the scenes of MediaEval's Pixel Privacy task 2018, as in Sec. 4 of the paper.

Lists: https://github.com/multimediaeval/2018-Pixel-Privacy-Task (MEPP18val.csv, MEPP18senscats.txt).
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from edgefool.datasets.dataset import DATA, Dataset, check_missing, label_photos, list_images, match_stems
from edgefool.datasets.photo import KnownNames, Photo
from edgefool.storage import StorePath
from edgefool.storage.fields import AnyPath


class PrivatePlaces365(Dataset):
    """50 validation images of Places365 of each of 60 privacy-sensitive classes.

    Files are recognised by name, ``Places365_val_00000013`` with any image suffix, in the folder itself, its subfolders
    ``val_256``, ``val_large``, ``val`` and ``images``, or the class folders in any of these, as in the easy format:
    ``airfield`` or ``a/airfield``, ``church/indoor`` or ``church-indoor``.

    Attributes
    ----------
    path : path
        The folder.
    """

    kind: Literal["private-places365"] = "private-places365"
    path: AnyPath

    num_classes: ClassVar[int] = 365  # the labels are those of Places365
    images: ClassVar[int] = 3000
    source: ClassVar[str] = (
        "val_256.tar or val_large.tar of http://places2.csail.mit.edu/download.html; the list is MEPP18val.csv of"
        " https://github.com/multimediaeval/2018-Pixel-Privacy-Task"
    )
    licence: ClassVar[str] = "Places365's terms of use (non-commercial research and education)"
    about: ClassVar[str] = (
        "scenes, the paper's: 50 validation images of each of 60 privacy-sensitive classes of Places365"
    )

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        labels = _labels()
        files, folders = list_images(self.path, ("images", "val", "val_256", "val_large"))
        for folder in folders:
            if _spelling(folder.name) in _class_folders():
                files += _find_images(folder)
        found = match_stems(self.name, files, labels)
        missing = [stem for stem in labels if stem not in found]
        check_missing(self.name, missing, len(labels), self.path, allow_missing)
        classes = {found[stem]: label for stem, label in labels.items() if stem in found}
        return label_photos(self.name, self.path, classes, known)


@cache
def private_classes() -> Mapping[int, str]:
    """Return the names of the 60 privacy-sensitive classes by their numbers in Places365, from 0.

    >>> private_classes()[1]
    'airplane_cabin'
    """
    lines = (DATA / "private_places365_classes.txt").read_text(encoding="ascii").splitlines()
    return {int(number): name for number, name in (line.split("\t") for line in lines)}


@cache
def _class_folders() -> frozenset[str]:
    """Return the spellings of the folders that hold classes or, by first letters and words, folders of classes."""
    names = private_classes().values()
    return frozenset(_spelling(part) for name in names for part in (name, name.partition("/")[0], name[0]))


def _spelling(name: str) -> str:
    """Return the letters and digits of the name of a class, as its words are joined by ``_``, ``-`` or ``/``."""
    return "".join(character for character in name.lower() if character.isalnum())


def _find_images(folder: StorePath) -> list[StorePath]:
    """Return the image files in a folder and in all its subfolders."""
    files, folders = list_images(folder, ())
    return files + [path for inner in folders for path in _find_images(inner)]


@cache
def _labels() -> Mapping[str, int]:
    """Return the labels of the 3,000 images by stem, in the order of MEPP18val.csv."""
    _, *lines = (DATA / "private_places365_val.csv").read_text(encoding="ascii").splitlines()
    return {Path(file).stem: int(label) for file, label in (line.split(",") for line in lines)}
