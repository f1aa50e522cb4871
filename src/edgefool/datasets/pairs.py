"""Pairs originals with their results in another folder, by their names."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgefool.datasets.photo import Photo, digits_of
from edgefool.text import one_form


@dataclass
class Pairs:
    """Originals and results.

    Attributes
    ----------
    pairs : list of (Photo, Photo)
        An original and its result, in the order of the originals.
    missing, extra : list of Photo
        Originals without a result, and results without an original.
    """

    pairs: list[tuple[Photo, Photo]] = field(default_factory=list)
    missing: list[Photo] = field(default_factory=list)
    extra: list[Photo] = field(default_factory=list)


def pair_photos(originals: Sequence[Photo], results: Sequence[Photo]) -> Pairs:
    """Pair photos by their keys, which must differ within each of the two lists.

    An original ``a.heic`` goes with a result ``a.heic``, else ``a.heic.jpg``, else ``a.jpg``, else ``a-DIGITS.jpg``,
    with the digits that `edgefool.protection` gives to names that differ only in case. Where several would fit equally
    well, none is paired. Names are compared in one Unicode form.
    """
    found: dict[Photo, Photo] = {}
    left = list(results)
    for name_original, name_result in _RULES:
        wanting = _by_name([photo for photo in originals if photo not in found], name_original)
        offered = _by_name(left, name_result)
        for name in wanting.keys() & offered.keys():
            if len(wanting[name]) == len(offered[name]) == 1:
                found[wanting[name][0]] = offered[name][0]
        taken = set(found.values())
        left = [photo for photo in left if photo not in taken]
    return Pairs(
        [(photo, found[photo]) for photo in originals if photo in found],
        [photo for photo in originals if photo not in found],
        left,
    )


def stem_of(photo: Photo) -> str:
    """Return the key of a photo without its suffix, in one Unicode form."""
    return one_form(PurePosixPath(photo.key).with_suffix("").as_posix())


def _name_of(photo: Photo) -> str:
    return one_form(photo.key)


def _stem_with_digits(photo: Photo) -> str:
    return f"{stem_of(photo)}-{next(digits_of(photo.key))}"


_RULES: tuple[tuple[Callable[[Photo], str], Callable[[Photo], str]], ...] = (
    (_name_of, _name_of),
    (_name_of, stem_of),
    (stem_of, stem_of),
    (_stem_with_digits, stem_of),
)


def _by_name(photos: Sequence[Photo], name_of: Callable[[Photo], str]) -> dict[str, list[Photo]]:
    named = defaultdict(list)
    for photo in photos:
        named[name_of(photo)].append(photo)
    return named
