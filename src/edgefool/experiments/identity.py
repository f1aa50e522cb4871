"""Which photos a run already knows: a photo keeps its name in the run when its folder moves."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from edgefool.datasets import KnownNames, Photo
from edgefool.errors import UsageError
from edgefool.runs import Record
from edgefool.runs.records import source_text
from edgefool.storage import StorePath

_THREADS = 8
_AT_A_TIME = 64  # photos of a thread, as handing over takes longer than looking up a hash


def known_names(
    photos: Sequence[Photo], records: Iterable[Record], hash_file: Callable[[StorePath], str | None]
) -> KnownNames:
    """Return the names that the photos of a dataset have in a run.

    A photo is recognised by its key and the SHA-256 of its bytes. Records of version 0.1.0 hold absolute paths, which
    must end with the key.

    Parameters
    ----------
    photos
        As the dataset finds them now.
    records
        All records of the dataset in the run.
    hash_file
        Returns the SHA-256 of a photo, None if it cannot be read; called from several threads.

    Raises
    ------
    UsageError
        If the bytes of a photo in the run have changed.
    """
    free: dict[str, Record] = {}  # one record per name, with a hash if there is one; until a photo has the name
    for record in records:
        if record.sha256 or record.image not in free:
            free[record.image] = record
    by_file: dict[str, list[Record]] = defaultdict(list)
    for record in free.values():
        by_file[record.source.rpartition("/")[2]].append(record)
    candidates = {
        photo: [record for record in by_file[source_text(photo.key).rpartition("/")[2]] if _may_be(record, photo)]
        for photo in photos
    }
    met = [photo for photo in photos if candidates[photo]]
    pieces = [met[start : start + _AT_A_TIME] for start in range(0, len(met), _AT_A_TIME)]
    with ThreadPoolExecutor(_THREADS) as pool:
        hashed = pool.map(lambda piece: [hash_file(photo.path) for photo in piece], pieces)
        hashes = list(chain.from_iterable(hashed))

    names, unmatched = {}, []
    for photo, digest in zip(met, hashes, strict=True):
        # Its own path first: two photos of a moved folder may be copies of each other.
        own = sorted(candidates[photo], key=lambda record: not _has_path_of(record, photo))
        same = [r.image for r in own if r.image in free and (None in (digest, r.sha256) or r.sha256 == digest)]
        if same:
            names[photo.path] = same[0]
            del free[same[0]]
        else:
            unmatched.append(photo)
    for photo in unmatched:
        if any(record.image in free and _has_path_of(record, photo) for record in candidates[photo]):
            raise UsageError(f"{photo.path} has changed since this run attacked it; name a new folder")
    return KnownNames(names, tuple(free))


def _may_be(record: Record, photo: Photo) -> bool:
    """Return whether the record's source is the photo's path, or could have been before its folder moved."""
    if _has_path_of(record, photo):
        return True
    return _is_absolute(record.source) and record.source.endswith("/" + source_text(photo.key))


def _has_path_of(record: Record, photo: Photo) -> bool:
    """Return whether the record's source is the photo's path or key, whatever the file holds now."""
    return record.source == source_text(str(photo.path) if _is_absolute(record.source) else photo.key)


def _is_absolute(source: str) -> bool:
    """Return whether a source is an absolute path or an address, as in records of version 0.1.0, and not a key."""
    return source.startswith("/") or "://" in source or source[1:3] in (":\\", ":/")
