"""A person's photo as a file: what it holds, and the same photo with other pixels."""

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from edgefool.errors import ImageError, UsageError
from edgefool.images.colour import to_srgb
from edgefool.images.decode import decode_image, image_errors
from edgefool.images.read import to_array
from edgefool.protection.exif import strip_prefix
from edgefool.protection.jpeg import MAX_XMP, QUALITY, JpegWriter, read_jpeg
from edgefool.protection.metadata import Metadata, MetadataPolicy, Note
from edgefool.protection.orientation import turn_back, turn_upright
from edgefool.protection.png import read_png
from edgefool.protection.stored_pixels import to_stored_pixels
from edgefool.protection.tiff import read_tiff, stored_orientation
from edgefool.protection.webp import read_webp
from edgefool.storage import LocalStore

MAX_GROWTH = 1.3
"""How much larger than its original a protected JPEG may be."""

_JPEG_SUFFIX = ".jpg"


class Writer(Protocol):
    """How to write a file of one format like the one that was read."""

    @property
    def name(self) -> str:
        """Pillow's name of the format."""

    @property
    def modes(self) -> tuple[str, ...]:
        """Pillow's modes that the format can hold, of L, LA, RGB and RGBA."""

    def write(self, image: Image.Image, metadata: Metadata) -> bytes:
        """Return the file."""


@dataclass(frozen=True, eq=False)
class PhotoFile:
    """A photo, and how to write it back.

    Parameters
    ----------
    path : Path
        The file.
    pixels : NDArray
        (H, W, C), uint8, as stored: not turned, in the colours of the file. C is 1 for grey, 3 for RGB; 2 and 4 with
        alpha as the last.
    orientation : int
        How to turn them, 1 to 8, as EXIF numbers it.
    mark : str or None
        The mark of a photo that has been protected already.
    notes : tuple[str, ...]
        What the protected file will not hold, or holds in another form, whatever the metadata policy; a line each.
    max_bytes : float
        How large the protected file should be at most: `MAX_GROWTH` times the photo's bytes for a JPEG, else infinity.
    """

    path: Path
    pixels: NDArray[np.uint8]
    orientation: int
    mark: str | None
    notes: tuple[str, ...]
    max_bytes: float
    _source_format: str
    _writer: Writer
    _metadata: Metadata
    _colour_profile: bytes
    _times: tuple[int, int]

    @property
    def name(self) -> str:
        """The name of the protected file: that of the photo, with another suffix if it becomes a JPEG."""
        return self.name_for(self.path.name)

    def name_for(self, name: str) -> str:
        """Return the same where the photo has another name, as a link does."""
        is_renamed = self._source_format not in (self.format, "MPO") or (
            self.format == "JPEG" and name.lower().endswith(".mpo")
        )
        return Path(name).with_suffix(_JPEG_SUFFIX).name if is_renamed else name

    @property
    def format(self) -> str:
        """The format of the protected file by Pillow's name: JPEG, PNG, WEBP or TIFF."""
        return self._writer.name

    @property
    def is_protected(self) -> bool:
        """Whether the photo carries the mark of one that has been protected already."""
        return self.mark is not None

    def upright(self) -> NDArray[np.uint8]:
        """Return the photo as people and classifiers see it.

        Returns
        -------
        NDArray
            (H', W', 3), uint8, sRGB, turned; transparent parts on white.
        """
        pixels = turn_upright(self.pixels, self.orientation)
        if pixels.shape[2] == 3 and not self._colour_profile:
            return np.ascontiguousarray(pixels)
        image = _to_image(pixels)
        if self._colour_profile:
            image.info["icc_profile"] = self._colour_profile
        return to_array(to_srgb(image, lambda _: None))

    def to_stored(self, upright: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn values for each upright pixel, (H', W', ...), as the pixels are stored, (H, W, ...), without copying."""
        return turn_back(upright, self.orientation)

    def encode(self, pixels: NDArray[np.uint8], mark: str, metadata: MetadataPolicy = "private") -> bytes:
        """Return the photo as a file with other pixels, in the format of the source.

        Parameters
        ----------
        pixels
            The shape and the order of ``self.pixels``, uint8.
        mark
            What the file says about its protection, such as ``"0.2 natural"``.
        metadata
            Which of the metadata stay; `MetadataPolicy`.

        Raises
        ------
        UsageError
            If the pixels have another shape or type.
        ImageError
            If the encoder fails.
        """
        if pixels.shape != self.pixels.shape or pixels.dtype != np.uint8:
            raise UsageError(
                f"pixels must be uint8 of the shape {self.pixels.shape}, not {pixels.dtype} of {pixels.shape}"
            )
        carried = self._metadata.for_protected(metadata, self.orientation, mark)
        with image_errors():
            return self._writer.write(_to_image(pixels), carried)

    def save(self, data: bytes, target: Path) -> None:
        """Write an encoded file in one step, with the times of the photo.

        Raises
        ------
        UsageError
            If the target is the photo itself.
        OSError
            If it cannot be written; then nothing is there.
        """
        if target.exists() and self.path.exists() and target.samefile(self.path):
            raise UsageError(f"target {target} is the photo itself, which is never overwritten")
        LocalStore().write(str(target), data)
        with contextlib.suppress(OSError):  # some network file systems refuse
            os.utime(target, ns=self._times)


def open_photo(path: str | Path, *, max_megapixels: float | None = None) -> PhotoFile:
    """Read a photo with all that is needed to write it back.

    JPEG, PNG, WebP and TIFF are written in their own format; other photos become JPEGs of quality 92. Of several
    pictures in a file the first counts. Thumbnails and other pictures that show the original are left out.

    Parameters
    ----------
    path
        The file.
    max_megapixels
        As in `edgefool.images.read_image`.

    Raises
    ------
    ImageError
        Where `edgefool.images.read_image` raises it, and for animations and for CMYK, CIELAB and floating-point pixels.
    """
    path = Path(path)
    notes: list[str] = []

    def note(line: str) -> None:
        if line not in notes:
            notes.append(line)

    with image_errors():
        stat = path.stat()
        data = LocalStore().read(str(path))
        image = decode_image(data, max_megapixels, note)
        writer, metadata = _read(data, image, note)
        stored = to_stored_pixels(image, writer.modes, note)
        orientation, kind = _orientation(image), image.format or ""
        profile = image.info.get("icc_profile") or b""
        max_bytes = MAX_GROWTH * len(data) if isinstance(image, JpegImageFile) else math.inf
        pixels = to_array(stored)
        del image, stored
        if writer.name == "TIFF" and (turned := stored_orientation(data)) != 1:
            orientation, pixels = turned, np.ascontiguousarray(turn_back(pixels, turned))
        mark = metadata.mark
        metadata = metadata.without_pictures(note)
    return PhotoFile(
        path=path,
        pixels=pixels.reshape(*pixels.shape[:2], -1),
        orientation=orientation,
        mark=mark,
        notes=tuple(notes),
        max_bytes=max_bytes,
        _source_format=kind,
        _writer=writer,
        _metadata=metadata,
        _colour_profile=profile,
        _times=(stat.st_atime_ns, stat.st_mtime_ns),
    )


_Reader = Callable[[bytes, Image.Image, Note], tuple[Writer, Metadata]]


def _read(data: bytes, image: Image.Image, note: Note) -> tuple[Writer, Metadata]:
    if isinstance(image, JpegImageFile):
        return read_jpeg(data, image, note)
    readers: dict[str | None, _Reader] = {"PNG": read_png, "TIFF": read_tiff, "WEBP": read_webp}
    return readers.get(image.format, _read_other)(data, image, note)


def _read_other(data: bytes, image: Image.Image, note: Note) -> tuple[Writer, Metadata]:
    """Return how to write a photo of another format as a JPEG, and what metadata Pillow finds."""
    del data
    several = getattr(image, "n_frames", 1) > 1
    if several and image.format in ("AVIF", "GIF"):
        raise ImageError("is an animation; only still photos can be protected")
    note(f"it becomes a JPEG: {image.format} cannot be written")
    if several:
        note("the other pictures in the file are left out")
    if image.info.get("aux") or image.info.get("depth_images"):  # of pillow-heif
        note("its HDR gain map or depth map is left out")
    exif, xmp, profile = (image.info.get(key) or b"" for key in ("exif", "xmp", "icc_profile"))
    if len(xmp) > MAX_XMP:
        note("its XMP data are left out: a JPEG has no room for them")
        xmp = b""
    metadata = Metadata(exif=strip_prefix(exif), xmp=xmp, profile=profile)
    return JpegWriter({"quality": QUALITY, "subsampling": "4:2:0"}), metadata


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # EXIF data are often broken in otherwise good photos
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        return orientation if 1 <= orientation <= 8 else 1
    return 1


def _to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
