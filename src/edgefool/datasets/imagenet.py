"""ImageNet's validation images of ILSVRC 2012 (Russakovsky et al., IJCV 2015), and a subset of 3,000 as in the paper.

https://arxiv.org/abs/1409.0575
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

from edgefool.datasets.dataset import DATA, Dataset, check_missing, label_photos, list_images, match_stems
from edgefool.datasets.photo import KnownNames, Photo
from edgefool.errors import UsageError
from edgefool.storage import StorePath
from edgefool.storage.fields import AnyPath

_WNID = re.compile(r"n[0-9]{8}")
_STEM_WNID = re.compile(r"(.+)_(n[0-9]{8})")  # as Hugging Face names the files


class ImageNet(Dataset):
    """Validation images of ImageNet, with classes from their names or folders.

    Files are recognised by name, ``ILSVRC2012_val_00000001`` to ``ILSVRC2012_val_00050000`` with any image suffix, in
    the folder itself, its subfolders ``val`` and ``images``, or one folder per class in any of these. The name may end
    with the class, as in Hugging Face's archives: ``ILSVRC2012_val_00000293_n01440764``.

    Attributes
    ----------
    path : path
        The folder.
    subset : "paper" or "all"
        The 3 images per class of `paper_subset`; or all images found, including those with other names that are in a
        class folder or end with the class (``n01440764_18_n01440764``).
    """

    kind: Literal["imagenet"] = "imagenet"
    path: AnyPath
    subset: Literal["paper", "all"] = "paper"

    num_classes: ClassVar[int] = 1000
    images: ClassVar[int] = 3000
    source: ClassVar[str] = (
        "ILSVRC2012_img_val.tar of https://image-net.org/challenges/LSVRC/2012/2012-downloads.php (after registration)"
    )
    licence: ClassVar[str] = "ImageNet's terms of access (non-commercial research and education)"
    about: ClassVar[str] = (
        "objects, 3 validation images of each class as in the paper (whose list is unpublished; ours is drawn with"
        ' seed 0); subset = "all" takes all images found, up to 50,000'
    )

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        labels, others = self._read_folders()
        if self.subset == "paper":
            stems = paper_subset()
            found = match_stems(self.name, labels, stems, _stem)
            check_missing(self.name, [s for s in stems if s not in found], len(stems), self.path, allow_missing)
            return label_photos(self.name, self.path, {found[s]: labels[found[s]] for s in stems if s in found}, known)

        found = match_stems(self.name, labels, imagenet_labels(), _stem)
        unlabelled = [path for path, label in others.items() if label is None]
        if unlabelled:
            raise UsageError(
                f"{self.name}: {len(unlabelled):,} of {len(labels) + len(others):,} images have no label, first"
                f" {str(unlabelled[0])!r}; name it ILSVRC2012_val_NUMBER or NAME_WNID (cat_n02123045), or move it to"
                " its class folder (n02123045)"
            )
        classes = {found[stem]: labels[found[stem]] for stem in sorted(found)}
        classes |= {path: label for path, label in others.items() if label is not None}
        if not classes:
            raise UsageError(
                f"{self.name}: no images in {str(self.path)!r}, its subfolders val and images, or class folders"
            )
        return label_photos(self.name, self.path, classes, known)

    def _read_folders(self) -> tuple[dict[StorePath, int], dict[StorePath, int | None]]:
        """Return the validation images with their labels, and the others with the labels of their names or folders."""
        files, folders = list_images(self.path, ("images", "val"))
        for folder in folders:
            if _WNID.fullmatch(folder.name):
                files += list_images(folder, ())[0]
        classes = {wnid: number for number, wnid in enumerate(imagenet_wnids())}
        truth = imagenet_labels()
        labels: dict[StorePath, int] = {}
        others: dict[StorePath, int | None] = {}
        for path in files:
            wnids = [name for name in (_wnid(path), path.parent.name) if _WNID.fullmatch(name)]
            label = truth.get(_stem(path))
            known = next((classes[wnid] for wnid in wnids if wnid in classes), None) if label is None else label
            for wnid in wnids:
                if known is not None and classes.get(wnid) != known:
                    what = "in the wrong folder" if wnid == path.parent.name else "named after the wrong class"
                    raise UsageError(f"{self.name}: {str(path)!r} is {what}; its class is {imagenet_wnids()[known]}")
            if label is None:
                others[path] = known
            else:
                labels[path] = label
        return labels, others


def _stem(path: StorePath) -> str:
    """Return the name of a file without suffix and class."""
    match = _STEM_WNID.fullmatch(path.stem)
    return match[1] if match else path.stem


def _wnid(path: StorePath) -> str:
    """Return the class at the end of a file's name, empty if there is none."""
    match = _STEM_WNID.fullmatch(path.stem)
    return match[2] if match else ""


@cache
def imagenet_labels() -> Mapping[str, int]:
    """Return the classes of the 50,000 validation images by stem, numbered from 0 as in torchvision."""
    numbers = _read("imagenet_val_labels.txt")
    return {f"ILSVRC2012_val_{image:08}": int(number) for image, number in enumerate(numbers, 1)}


def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet IDs of the 1,000 classes, in torchvision's order.

    >>> imagenet_wnids()[:2]
    ('n01440764', 'n01443537')
    """
    return _read("imagenet_wnids.txt")


def paper_subset() -> list[str]:
    """Return the stems of 3 validation images of each class, as in Sec. 4 of the paper; its own list is unpublished.

    Ours holds, in sorted order, the 3 images of each class whose ASCII text ``edgefool:0:STEM`` has the smallest
    SHA-256.

    >>> paper_subset()[:2]
    ['ILSVRC2012_val_00000020', 'ILSVRC2012_val_00000051']
    """
    return list(_read("imagenet_subset.txt"))


@cache
def _read(file: str) -> tuple[str, ...]:
    return tuple((DATA / file).read_text(encoding="ascii").split())
