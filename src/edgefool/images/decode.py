"""Image files to Pillow's images, as they are stored."""

import contextlib
import io
import math
import struct
import textwrap
import warnings
from collections.abc import Callable, Iterator
from threading import Lock

from PIL import ExifTags, Image, TiffImagePlugin

from edgefool.errors import ImageError, UsageError
from edgefool.images import png, tiff
from edgefool.images.formats import IMAGE_FORMATS, describe_camera_raw, describe_unknown, is_camera_raw
from edgefool.images.tensors import MAX_MEGAPIXELS, MIN_SIDE

_WIDTH, _HEIGHT = ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"  # markers of JPEG


class _Silence:
    """Ignores Pillow's warnings while a thread is in it: the filters of warnings belong to the whole process."""

    def __init__(self) -> None:
        self._threads, self._lock, self._filters = 0, Lock(), contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._filters.close()


_silence = _Silence()


@contextlib.contextmanager
def image_errors() -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged file into an `ImageError` of one line, and silence its warnings."""
    try:
        with _silence:
            yield
    except (ImageError, UsageError):
        raise
    except Image.DecompressionBombError:  # in WebP
        raise ImageError("is larger than Pillow reads in this format; convert to JPEG or PNG") from None
    # Pillow raises almost any error for damaged files, and one bad file must not stop the others.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"cannot be read: {error.strerror}") from error
        reason = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise ImageError(f"damaged, truncated or of an unknown kind: {reason}") from error


def decode_image(data: bytes, max_megapixels: float | None, warn: Callable[[str], None]) -> Image.Image:
    """Decode the photo of a file in its own mode, not turned, with EXIF data, transparency and profile in its ``info``.

    Call it within `image_errors`.

    Parameters
    ----------
    data
        The file.
    max_megapixels
        The limit; None: `MAX_MEGAPIXELS`.
    warn
        Called with a line for each part of the file that is damaged and left out.
    """
    limit = MAX_MEGAPIXELS if max_megapixels is None else max_megapixels
    if not data:
        raise ImageError("the file is empty")
    if is_camera_raw(data):
        raise ImageError(describe_camera_raw())
    if data.startswith(png.SIGNATURE):
        file = png.PngFile(data, warn)
        return file.complete(_load(file.pixels, limit, warn))
    if not tiff.is_tiff(data):
        return _load(data, limit, warn)
    data, orientation = tiff.select_photo(data)
    image = _load(data, limit, warn)
    if orientation:
        with contextlib.suppress(Exception):
            image.getexif()[ExifTags.Base.Orientation] = orientation
    return image


def _load(data: bytes, max_megapixels: float, warn: Callable[[str], None]) -> Image.Image:
    image = _open(data)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"has {width}x{height} pixels; both sides must have at least {MIN_SIDE}")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"has {width}x{height} pixels; more than {max_megapixels * 1e6:,.0f} are read only with a larger "
            f"max_megapixels, here {math.ceil(width * height / 1e6)}"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # else Pillow checks its own limit when it makes this
        image.im = Image.new(image.mode, (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT])).im
    is_jpeg = image.format in ("JPEG", "MPO")
    try:
        image.load()
    except OSError:
        if not is_jpeg or (complete := _without_end_marker(data)) is None:
            raise
        image = complete
    if is_jpeg and data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        warn("its end marker is missing")
    return image


def _open(data: bytes) -> Image.Image:
    """Open an image as `PIL.Image.open` does, whose own limit of pixels holds for the whole process."""
    for name in IMAGE_FORMATS:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):  # a text says what is not installed
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(data), "")
    raise ImageError(describe_unknown(data))


def _without_end_marker(data: bytes) -> Image.Image | None:
    """Return the image of a JPEG that lacks nothing but its end marker, else None.

    A decoder ignores what follows the last pixel, and takes it for pixels if any are missing.
    """
    # Decoders wait for the next of the eight restart markers, and pass over some of the others.
    strays = [b"".join(b"\x55" * 64 + bytes([0xFF, 0xD0 + (first + k) % 8]) for k in range(8)) for first in (0, 4)]
    data = data.rstrip(b"\xff")  # half a marker
    image, *others = [_open(data + stray + _END_OF_IMAGE) for stray in (b"", *strays)]
    try:
        pixels = image.tobytes()
        is_complete = all(other.tobytes() == pixels for other in others)
    except OSError:
        return None
    return image if is_complete else None
