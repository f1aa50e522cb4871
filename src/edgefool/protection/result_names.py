"""The names of protected files: those of the photos, and no name twice on any disk."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from edgefool.datasets.photo import digits_of, fold_name


class ResultNames:
    """Gives each photo the name of its protected file, with the folders above it.

    A photo whose format changes, ``a.heic``, becomes ``a.jpg``, or ``a.heic.jpg`` if there is an ``a.jpg``. Of photos
    whose names differ only in case or Unicode form, which some disks take for the same, all but the first get a suffix
    of ``-`` and 8 hexadecimal digits.

    Parameters
    ----------
    keys : iterable of str
        The photos, by their paths in the source.
    known : mapping
        Names given earlier, by key; they stay.

    Examples
    --------
    >>> names = ResultNames(["in/a.jpg", "in/a.heic", "in/A.jpg"], {})
    >>> names.give("in/a.heic", "a.jpg"), names.give("in/a.jpg", "a.jpg"), names.give("in/A.jpg", "A.jpg")
    ('in/a.heic.jpg', 'in/a.jpg', 'in/A-288a89ed.jpg')
    """

    def __init__(self, keys: Iterable[str], known: Mapping[str, str]):
        self._given = dict(known)
        self._owners = {fold_name(name): key for key, name in known.items()}
        for key in keys:
            self._owners.setdefault(fold_name(key), key)

    def give(self, key: str, name: str) -> str:
        """Return the name for a photo that is to be called ``name``, in the folders of its key."""
        if key not in self._given:
            self._given[key] = next(path for path in _candidates(key, name) if self._is_free(path, key))
            self._owners[fold_name(self._given[key])] = key
        return self._given[key]

    def _is_free(self, path: str, key: str) -> bool:
        return self._owners.get(fold_name(path), key) == key


def _candidates(key: str, name: str) -> Iterator[str]:
    wanted = PurePosixPath(key).with_name(name)
    yield str(wanted)
    if name != PurePosixPath(key).name:
        yield f"{key}{wanted.suffix}"
    for digits in digits_of(key):
        yield str(wanted.with_stem(f"{wanted.stem}-{digits}"))
