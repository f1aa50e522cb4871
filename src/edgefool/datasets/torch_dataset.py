"""Any map-style dataset of torch, for plans that are made in Python."""

import operator
from functools import cached_property
from threading import Lock
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgefool.datasets.dataset import Dataset
from edgefool.datasets.photo import KnownNames, Photo
from edgefool.datasets.rows import RowStore
from edgefool.errors import UsageError

_PNG_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
"""Modes of Pillow's images that a PNG can hold; others are converted to RGB."""


class TorchDataset(Dataset):
    """A map-style dataset of torch, such as those of torchvision, as a dataset of a plan.

    ``data[row]`` is an image, or a tuple of an image and its label. An image is a Pillow image, a tensor of uint8, or
    one of float32 or float64 in [0, 1], (3, H, W) or (1, H, W). It must not be normalised, and be the same each time.
    It is attacked as a PNG, so in 8 bits, without EXIF data and colour profile. A label is a whole number from 0.

    Photos are named by their rows. The plan's file does not hold the dataset: commands can report and check the run,
    and only Python can resume it, in one process.

    Parameters
    ----------
    data : torch.utils.data.Dataset
        Has ``len(data)`` and ``data[row]``. Each item is read once for its label, and again to be attacked.
    num_classes : int or None
        Number of classes of the labels; by default that of ``data.classes``, where there is such a list. If it is
        unknown, labels are recorded and nothing is compared with them.
    name, limit
        See `Dataset`.

    Examples
    --------
    >>> import torch
    >>> pairs = [(torch.zeros(3, 32, 32), 7), (torch.ones(3, 32, 32), 2)]
    >>> dataset = TorchDataset(pairs, name="squares", num_classes=10)
    >>> [(photo.key, photo.label) for photo in dataset.find()]
    [('rows/000000', 7), ('rows/000001', 2)]

    In a plan, for `edgefool.experiments.Experiment`:

    >>> from edgefool.experiments import make_plan
    >>> others = {"classifiers": [{"name": "efficientnet-lite0"}], "methods": [{"name": "edgefool"}]}
    >>> make_plan({"datasets": [dataset], **others}).datasets[0].name
    'squares'
    """

    kind: Literal["torch"] = "torch"
    data: Any = Field(default=None, exclude=True, repr=False)
    num_classes: Annotated[int, Field(ge=1)] | None = Field(
        default_factory=lambda known: len(getattr(known["data"], "classes", ())) or None
    )

    source: ClassVar[str] = "a dataset of torch, in Python"
    licence: ClassVar[str] = "that of its images"
    about: ClassVar[str] = "a dataset of torch"

    def __init__(self, data: Any = None, /, **settings: Any):
        super().__init__(**{"data": data} | settings)

    def _find_all(self, known: KnownNames, allow_missing: bool) -> list[Photo]:
        return self._items.photos("rows", self._labels, known)

    @cached_property
    def _items(self) -> "_Items":
        if self.data is None:
            raise UsageError(f"{self.name} is a dataset of torch, which no file can hold: make its plan in Python")
        return _Items(self.name, self.data)

    @cached_property
    def _labels(self) -> list[int | None]:
        count = min(self._items.count(), self.limit or self._items.count())
        self._items.read_row(0)  # an image of a wrong kind or range is refused before anything runs
        return [self._items.label(row, self.num_classes) for row in range(count)]


class _Items(RowStore):
    """The items of a dataset; a store is equal to itself only."""

    def __init__(self, name: str, data: Any):
        self._name, self._data = name, data
        self._lock = Lock()  # datasets need not be safe to read from several threads

    def url(self, key: str) -> str:
        return f"{self._name}/{key}"

    def count(self) -> int:
        """Return the number of rows; raise `UsageError` if there is none, or nobody knows."""
        if not (hasattr(self._data, "__len__") and hasattr(self._data, "__getitem__")):
            raise UsageError(f"{self._name}: needs a map-style dataset, with a length, not {_type(self._data)}")
        if not len(self._data):
            raise UsageError(f"{self._name}: the dataset is empty")
        return len(self._data)

    def read_row(self, row: int) -> bytes:
        image, _ = self._item(row)
        try:
            return _encode(image)
        except UsageError as error:
            raise UsageError(f"{self._name}, row {row}: {error}") from error

    def label(self, row: int, num_classes: int | None) -> int | None:
        """Return the label in a row, None if there is none; raise `UsageError` if it is not a class."""
        try:
            _, label = self._item(row)
            number = None if label is None else operator.index(label)
        except OSError:  # an image that cannot be read gets an error record when it is attacked
            return None
        except TypeError:
            raise UsageError(f"{self._name}, row {row}: the label {label!r} is not a whole number") from None
        if number is not None and not 0 <= number < (num_classes or number + 1):
            most = "" if num_classes is None else f" to {num_classes - 1}"
            raise UsageError(f"{self._name}, row {row}: the label {number} is not a whole number from 0{most}")
        return number

    def _item(self, row: int) -> tuple[Any, Any]:
        with self._lock:
            item = self._data[row]
        image, label, *_ = (*item, None, None) if isinstance(item, tuple | list) else (item, None)
        return image, label


def _encode(image: Any) -> bytes:
    """Return an image as a PNG."""
    import torch
    from PIL import Image

    from edgefool.images.write import encode, encode_png

    if isinstance(image, torch.Tensor):
        return encode_png(image / 255 if image.dtype == torch.uint8 else image)
    if not isinstance(image, Image.Image):
        raise UsageError(f"an image must be a tensor or a Pillow image, not {_type(image)}")
    return encode(image if image.mode in _PNG_MODES else image.convert("RGB"), "PNG", icc_profile=None)


def _type(value: object) -> str:
    return type(value).__name__
