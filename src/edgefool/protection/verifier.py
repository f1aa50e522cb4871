"""Judges a photo and its result by several classifiers, after each of several transformations, with two resizers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from edgefool.classifiers import Classifier, Preprocessing, SemanticGroups, groups_of
from edgefool.errors import ImageError
from edgefool.execution.judge import Decision, decide_resized
from edgefool.images.tensors import from_levels
from edgefool.metrics import TRANSFORMATIONS
from edgefool.protection.findings import VERSIONS, Answers, Finding, Said
from edgefool.protection.null_method import enhance_alone
from edgefool.protection.photo_file import open_photo
from edgefool.protection.preview import encode_preview
from edgefool.protection.protector import Pixels, Strength

_USUAL = Preprocessing(input_size=224)
"""Of classifiers that resize no images themselves: they were made for images of a certain size, usually this one."""

_PREVIEW = 640  # pixels of the longer side


class Shown(NamedTuple):
    """A photo as classifiers see it, and as a page shows it.

    Attributes
    ----------
    size
        Width and height at full resolution.
    preview
        A small JPEG.
    inputs
        By version, preprocessing and resizer, ``own`` or ``pillow``: (1, 3, h, w).
    """

    size: tuple[int, int]
    preview: bytes
    inputs: dict[tuple[str, Preprocessing, str], Tensor]


class Judged(NamedTuple):
    """What was found out about a photo and its result; previews are JPEGs of both."""

    sizes: tuple[tuple[int, int], tuple[int, int]]
    previews: tuple[bytes, bytes]
    strength: Strength | None
    findings: tuple[Finding, ...]


class Verifier:
    """Judges photos one at a time, at the full resolution of their files.

    Parameters
    ----------
    classifiers
        Which judge.
    """

    def __init__(self, classifiers: Sequence[Classifier]):
        self.classifiers = tuple(classifiers)
        self._kinds = list(dict.fromkeys(map(_resizing_of, classifiers)))

    def judge(
        self,
        original: Path,
        result: Path,
        strength: Strength | None = None,
        factor: float = 1,
        *,
        max_megapixels: float | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> Judged:
        """Judge a photo and its result, which may differ in size and format.

        Parameters
        ----------
        original, result
            The files.
        strength
            Of the null method; by default what the result's mark says, and no null method if it has none.
        factor
            By what the change of the null method is multiplied.
        max_megapixels
            As in `edgefool.images.read_image`.
        watch
            Called before each part of the work. What it raises ends it.

        Raises
        ------
        ImageError
            If one of them cannot be read, or a classifier fails.
        """
        try:
            photo = open_photo(original, max_megapixels=max_megapixels)
        except ImageError as error:
            raise ImageError(f"the original {error}") from error
        after = open_photo(result, max_megapixels=max_megapixels)
        strength = strength or _strength_of(after.mark)
        # One photo at full resolution at a time: 50 million pixels are 150 MB, and 600 MB as floats.
        shown = [self._show(after.upright(), watch)]
        del after
        shown.insert(0, self._show(photo.upright(), watch))
        if strength:
            shown.append(self._show(enhance_alone(photo, strength, factor), watch))
        del photo
        return Judged(
            sizes=(shown[0].size, shown[1].size),
            previews=(shown[0].preview, shown[1].preview),
            strength=strength,
            findings=tuple(self._judge(shown, watch)),
        )

    def _show(self, pixels: Pixels, watch: Callable[[], None]) -> Shown:
        inputs = {}
        for version in VERSIONS:
            watch()
            transformed = TRANSFORMATIONS[version](pixels) if version in TRANSFORMATIONS else pixels
            image = from_levels(torch.tensor(transformed).permute(2, 0, 1)[None].contiguous())
            for kind in self._kinds:
                inputs[version, kind, "own"] = kind.resize(image)
                inputs[version, kind, "pillow"] = kind.resize_with_pillow(transformed)
            del image
        height, width = pixels.shape[:2]
        return Shown((width, height), encode_preview(pixels, _PREVIEW), inputs)

    def _judge(self, shown: Sequence[Shown], watch: Callable[[], None]) -> Iterator[Finding]:
        for classifier in self.classifiers:
            for version in VERSIONS:
                watch()
                kind = version, _resizing_of(classifier)
                yield Finding(
                    classifier=classifier.fingerprint,
                    version=version,
                    own=_decide(classifier, [photo.inputs[*kind, "own"] for photo in shown]),
                    pillow=_decide(classifier, [photo.inputs[*kind, "pillow"] for photo in shown[:2]]),
                )


def _decide(classifier: Classifier, images: Sequence[Tensor]) -> Answers:
    """Return what a classifier says about the original, the result and perhaps enhancement alone."""
    groups = groups_of(classifier)
    decisions = [_said(decision, groups) for decision in decide_resized(classifier, torch.cat(list(images)))]
    return Answers(**dict(zip(("before", "after", "alone"), decisions, strict=False)))


def _resizing_of(classifier: Classifier) -> Preprocessing:
    return _USUAL if classifier.preprocessing.input_size is None else classifier.preprocessing


def _said(decision: Decision, groups: SemanticGroups | None) -> Said:
    index = decision.predicted
    group = groups.names[groups.of_class[index]] if groups and groups.has_group(index) else ""
    return Said(index=index, name=decision.name, probability=round(decision.probability, 6), group=group)


def _strength_of(mark: str | None) -> Strength | None:
    """Return the strength in the mark of a protected photo, such as ``0.2 natural``."""
    last = (mark or "").rpartition(" ")[2]
    return next((known for known in get_args(Strength) if known == last), None)
