"""The rows of a dataset of the Hugging Face Hub, or of local files in its formats, by the package datasets."""

import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from edgefool.datasets.rows import RowStore
from edgefool.errors import EdgeFoolError, RunError, UsageError, unknown

if TYPE_CHECKING:
    import datasets

_BUILDERS = {".parquet": "parquet", ".arrow": "arrow"}
"""What reads files, by their suffix."""


@dataclass(frozen=True)
class HubSource:
    """Which rows of which dataset; see `edgefool.datasets.HuggingFace` for the fields."""

    path: tuple[str, ...]
    config: str | None
    split: str | None
    revision: str | None
    image: str
    label: str | None
    streaming: bool
    limit: int | None

    @property
    def title(self) -> str:
        """Its name in messages."""
        return self.path[0] if len(self.path) == 1 else f"{self.path[0]} and {len(self.path) - 1} more"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's disk and not on the Hub."""
        return Path(self.path[0]).is_absolute()


class FoundRows(NamedTuple):
    """The source with the version, the split and the column of labels that were found, and the table."""

    source: HubSource
    table: "datasets.Dataset"


class HubRows(RowStore):
    """The first rows of a split, whose images are those of the files; they are looked for when they are needed.

    Parameters
    ----------
    source
        Which rows.
    """

    def __init__(self, source: HubSource):
        self._asked, self._lock = source, Lock()

    def __reduce__(self) -> tuple[Callable[[HubSource], "HubRows"], tuple[HubSource]]:
        return _rows_of, (self.found.source,)  # another process opens the table itself

    @property
    def found(self) -> FoundRows:
        """What was found; the first time it raises as `find_rows` does."""
        with self._lock:
            return self._found

    @cached_property
    def _found(self) -> FoundRows:
        return find_rows(self._asked)

    @property
    def num_classes(self) -> int | None:
        """Number of classes of the labels, where the column names them."""
        source, table = self.found
        return getattr(table.features.get(source.label), "num_classes", None)

    def labels(self) -> list[int | None]:
        """Return the label of each row; the Hub marks unknown ones by -1."""
        source, table = self.found
        count = min(len(table), source.limit or len(table))
        labels = table.select(range(count))[source.label] if source.label else [None] * count
        return [None if label is None or label < 0 else int(label) for label in labels]

    def url(self, key: str) -> str:
        """Return the dataset's name and the key."""
        return f"{self._asked.title}/{key}"

    def read_row(self, row: int) -> bytes:
        """Return the image file in a row as it is."""
        source, table = self.found
        return _encoded(table[row][source.image])


@cache
def _rows_of(source: HubSource) -> HubRows:
    """Return the rows of a source, which a process opens once however often they are sent to it."""
    return HubRows(source)


def find_rows(source: HubSource) -> FoundRows:
    """Find the rows of a dataset, and download what is not in the cache of the package datasets.

    Raises
    ------
    UsageError
        If the package is missing, or the dataset, its configuration, split or columns are unknown or cannot be used.
    RunError
        If the Hub cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        raise UsageError("kind huggingface needs the package datasets: pip install 'edgefool[huggingface]'") from error
    with _quiet(), _explained(source):
        builder = datasets.load_dataset_builder(**_arguments(source))
        if re.fullmatch(r"[0-9a-f]{40}", builder.hash or ""):  # the commit on the Hub
            source = replace(source, revision=builder.hash)
        if source.split is None:
            source = replace(source, split=_only_split(source, builder))
        if source.streaming:
            return _copied_rows(source, builder)
        builder.download_and_prepare()
        table = builder.as_dataset(split=source.split)
        source = _check_columns(source, table.features)
        return FoundRows(source, _without_decoding(source, table))


def _arguments(source: HubSource) -> dict[str, Any]:
    """Return the arguments of `datasets.load_dataset_builder`."""
    if not source.is_local:
        return {"path": source.path[0], "name": source.config, "revision": source.revision}
    if len(source.path) == 1 and Path(source.path[0]).is_dir():
        return {"path": source.path[0], "name": source.config}
    suffixes = {Path(file).suffix for file in source.path}
    if len(suffixes) > 1 or not suffixes <= _BUILDERS.keys():
        raise UsageError(f"{source.title}: name a folder, or files of one kind: {', '.join(_BUILDERS)}")
    return {"path": _BUILDERS[suffixes.pop()], "data_files": list(source.path)}


def _only_split(source: HubSource, builder: "datasets.DatasetBuilder") -> str:
    splits = list(builder.info.splits or builder.as_streaming_dataset())
    if len(splits) > 1:
        raise UsageError(f"{source.title} has the splits {', '.join(splits)}; choose one (split)")
    return str(splits[0])


def _copied_rows(source: HubSource, builder: "datasets.DatasetBuilder") -> FoundRows:
    """Return the first rows, downloaded once into the cache, without the rest of the dataset."""
    import datasets

    stream = builder.as_streaming_dataset(split=source.split)
    if stream.features is None:
        raise UsageError(f"{source.title} does not say what its columns hold, so it cannot be streamed")
    source = _check_columns(source, stream.features)
    stream = _without_decoding(source, stream)

    def rows() -> Iterator[dict[str, Any]]:
        for row in islice(stream, source.limit):
            value = row[source.image]
            yield row | {source.image: value and {"bytes": _encoded(value), "path": None}}

    version = repr((builder.cache_dir, source))
    fingerprint = hashlib.sha256(version.encode()).hexdigest()[:16]
    return FoundRows(source, datasets.Dataset.from_generator(rows, features=stream.features, fingerprint=fingerprint))


def _check_columns(source: HubSource, features: "datasets.Features") -> HubSource:
    """Return the source with the column of its labels, None if it has none."""
    for column in (source.image, source.label):
        if column is not None and column not in features:
            raise unknown(f"column of {source.title}", column, features)
    if not _holds_images(features[source.image]):
        raise UsageError(f"{source.title}: the column {source.image!r} holds no images, but {features[source.image]}")
    label = source.label or "label"
    if _holds_classes(features.get(label)):
        return replace(source, label=label)
    if source.label is not None:
        raise UsageError(f"{source.title}: the column {label!r} holds no class numbers, but {features[label]}")
    return source


def _holds_images(feature: Any) -> bool:
    """Return whether `datasets.Image.cast_storage` takes the values of a column."""
    import datasets

    if isinstance(feature, dict):
        return not feature.keys().isdisjoint(("bytes", "path"))
    is_plain = getattr(feature, "dtype", "") in ("binary", "large_binary", "string", "large_string")
    return is_plain or isinstance(feature, datasets.Image | datasets.List)


def _holds_classes(feature: Any) -> bool:
    return bool(re.fullmatch(r"u?int\d+", str(getattr(feature, "dtype", ""))))


def _without_decoding(source: HubSource, table: Any) -> Any:
    """Return the columns of images and labels, with images as bytes of their files or paths."""
    import datasets

    columns = [source.image, *([source.label] if source.label else [])]
    return table.select_columns(columns).cast_column(source.image, datasets.Image(decode=False))


def _encoded(value: dict[str, Any] | None) -> bytes:
    """Return the file of an image; raise `OSError` if it cannot be read."""
    import fsspec

    if not value or not (value["bytes"] or value["path"]):
        raise OSError("the row has no image")
    if value["bytes"]:
        return bytes(value["bytes"])
    try:
        with fsspec.open(value["path"], "rb") as file:
            return bytes(file.read())
    except (ValueError, ImportError) as error:  # an address that nothing here can open
        raise OSError(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Show the bars of the package datasets on terminals only, and not its warnings."""
    import datasets

    silence = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if silence:
        datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if silence:
            datasets.enable_progress_bars()


@contextmanager
def _explained(source: HubSource) -> Iterator[None]:
    """Turn errors of the package datasets into one line."""
    try:
        yield
    except EdgeFoolError:
        raise
    except Exception as error:  # it raises those of many libraries
        innermost: BaseException = error
        while innermost.__cause__:
            innermost = innermost.__cause__
        reason = " ".join(str(innermost).split()) or type(innermost).__name__
        if source.is_local or isinstance(error, FileNotFoundError | ValueError):
            raise UsageError(f"{source.title} cannot be loaded: {reason}") from error
        raise RunError(f"cannot load {source.title} from the Hugging Face Hub ({reason}); try again") from error
