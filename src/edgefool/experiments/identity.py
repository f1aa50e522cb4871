"""Which photos a run knows already: a photo stays itself when its folder moves, and keeps its name in the run."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgefool.datasets import KnownNames, Photo
from edgefool.errors import UsageError
from edgefool.runs import Record
from edgefool.runs.records import sha256, source_text

_THREADS = 8


@dataclass(frozen=True)
class _Known:
    """A photo as records tell of it: its name in the run, where it was, and the SHA-256 of its bytes if it was read."""

    image: str
    source: str
    sha256: str | None

    @property
    def has_whole_path(self) -> bool:
        """Whether the source is a whole path or an address, as in records of version 0.1.0, and not a key."""
        return self.source.startswith("/") or "://" in self.source or self.source[1:3] in (":\\", ":/")

    def is_of(self, photo: Photo) -> bool:
        """Return whether the source is the photo's path, or could be it before its folder moved."""
        key = source_text(photo.key)
        if not self.has_whole_path:
            return self.source == key
        return self.source == source_text(str(photo.path)) or self.source.endswith("/" + key)

    def refuses(self, photo: Photo) -> bool:
        """Return whether the source says that it was this very file, whatever its bytes are now."""
        return self.source == source_text(str(photo.path) if self.has_whole_path else photo.key)


def known_names(photos: Sequence[Photo], records: Iterable[Record]) -> KnownNames:
    """Return the names that the photos of a dataset have in a run.

    A photo is known by its key and the SHA-256 of its bytes. Records of version 0.1.0 hold whole paths, which must end
    with the key.

    Parameters
    ----------
    photos
        As the dataset finds them now.
    records
        All records of the dataset in the run.

    Raises
    ------
    UsageError
        If a photo that the run holds has other bytes now.
    """
    known: dict[str, _Known] = {}
    for record in records:
        if record.sha256 or record.image not in known:
            known[record.image] = _Known(record.image, record.source, record.sha256)
    by_file: dict[str, list[_Known]] = defaultdict(list)
    for one in known.values():
        by_file[one.source.rpartition("/")[2]].append(one)
    candidates = {
        photo.path: [one for one in by_file[source_text(photo.key).rpartition("/")[2]] if one.is_of(photo)]
        for photo in photos
    }
    met = [photo for photo in photos if candidates[photo.path]]
    with ThreadPoolExecutor(_THREADS) as pool:
        hashes = dict(zip((photo.path for photo in met), pool.map(_hash, met), strict=True))

    names, free = {}, dict(known)
    left = []
    for photo in met:
        # The very path first: two photos of a moved folder may be copies of each other.
        own = sorted(candidates[photo.path], key=lambda one: not one.refuses(photo))
        digest = hashes[photo.path]
        same = [one for one in own if one.image in free and (None in (digest, one.sha256) or one.sha256 == digest)]
        if same:
            names[photo.path] = free.pop(same[0].image).image
        else:
            left.append(photo)
    for photo in left:
        if any(one.image in free and one.refuses(photo) for one in candidates[photo.path]):
            raise UsageError(f"{photo.path} has changed since this run attacked it; name a new folder")
    return KnownNames(names, tuple(free))


def _hash(photo: Photo) -> str | None:
    try:
        return sha256(photo.path.read())
    except OSError:  # what cannot be read cannot be attacked again either
        return None
