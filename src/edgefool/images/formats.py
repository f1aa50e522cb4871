"""Which files are photos, which photos cannot be read, and what to do about those."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable

from PIL import Image

Image.init()
with contextlib.suppress(ImportError):  # the extra `heif`
    import pillow_heif

    pillow_heif.register_heif_opener()

_KINDS = Image.registered_extensions()

# Photos only: Pillow also reads EPS, for example, for which it starts Ghostscript.
IMAGE_FORMATS = tuple(
    sorted({"AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"} & set(_KINDS.values()))
)
"""The file formats that `read_image` accepts, by Pillow's names; HEIF where pillow-heif is installed."""

IMAGE_SUFFIXES = frozenset(
    suffix
    for suffix, kind in _KINDS.items()
    if kind in (*IMAGE_FORMATS, "MPO")  # a JPEG followed by more images; Pillow opens the first
)
"""Suffixes of image files, in lower case and with the dot."""

_CAMERA_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .rw2 .rwl"
    " .sr2 .srf .srw .x3f"
)
_UNREADABLE = {
    suffix: kind
    for kind, suffixes in {
        "HEIC": ".heic .heics .heif .heifs .hif",
        "AVIF": ".avif .avifs",
        "JPEG XL": ".jxl",
        "camera raw": _CAMERA_RAW,
    }.items()
    for suffix in suffixes.split()
    if suffix not in IMAGE_SUFFIXES
}
_REMEDIES = {
    "HEIC": "pip install 'edgefool[heif]', or convert to JPEG",
    "AVIF": "install a Pillow that reads AVIF, or convert to JPEG",
    "JPEG XL": "convert to JPEG or PNG",
    "camera raw": "convert to JPEG, PNG or TIFF, for example with darktable or the camera's software",
}

_RAW_SIGNATURE = re.compile(
    rb"FUJIFILMCCD-RAW|II(RO|RS|U\0|\x1a\0\0\0HEAPCCDR|\*\0....CR\x02\0)|MMOR|FOVb|\0MRM|....ftypcrx ", re.DOTALL
)
_BRAND = re.compile(rb"....ftyp(?:(heic|heix|heim|heis|hevc|hevx|mif1|msf1)|(avif|avis))", re.DOTALL)
_JPEG_XL = re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ", re.DOTALL)


def is_camera_raw(data: bytes) -> bool:
    """Return whether a file begins like one of raw sensor data; those that are TIFFs need a closer look."""
    return _RAW_SIGNATURE.match(data) is not None


def describe_unknown(data: bytes) -> str:
    """Return why a file of no known format cannot be read, and what to do where it is a photo."""
    if brand := _BRAND.match(data):
        kind = "HEIC" if brand[1] else "AVIF"
    elif _JPEG_XL.match(data):
        kind = "JPEG XL"
    else:
        return f"not an image, or damaged at its start (known: {', '.join(IMAGE_FORMATS)})"
    if kind in IMAGE_FORMATS or (kind == "HEIC" and "HEIF" in IMAGE_FORMATS):
        return f"a damaged {kind} file"
    return f"a photo in the format {kind}, which cannot be read here: {_REMEDIES[kind]}"


def describe_camera_raw() -> str:
    """Return what to do with a file of raw sensor data."""
    return f"holds a camera's raw sensor data, not a picture: {_REMEDIES['camera raw']}"


def describe_unreadable(suffixes: Iterable[str]) -> str:
    """Return how many of the files with these suffixes are photos that cannot be read, and what to do; "" if none is.

    >>> describe_unreadable([".nef", ".JXL", ".txt", ".dng"])
    "1 JPEG XL (convert to JPEG or PNG), 2 camera raw (convert to JPEG, PNG or TIFF, for example with darktable or the\
 camera's software)"
    """
    counts = Counter(_UNREADABLE.get(suffix.lower()) for suffix in suffixes)
    return ", ".join(f"{counts[kind]} {kind} ({remedy})" for kind, remedy in _REMEDIES.items() if counts[kind])
