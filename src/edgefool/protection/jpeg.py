"""JPEG files: written with the quantisation, the chroma subsampling and the scans of their source."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image, JpegImagePlugin

from edgefool.images.write import encode
from edgefool.protection.hidden_pictures import holds_picture
from edgefool.protection.jpeg_segments import (
    APP,
    COMMENT,
    START,
    Segment,
    end_of_picture,
    make_segments,
    read_segments,
)
from edgefool.protection.metadata import Metadata, Note
from edgefool.protection.xmp import clean_xmp

QUALITY = 92
"""Of photos that were in another format; with the chroma subsampling 4:2:0."""

_JFIF, _EXIF, _PROFILE, _PHOTOSHOP, _ADOBE = b"JFIF\0", b"Exif\0\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"Adobe"
_XMP, _EXTENDED_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_MPF, _GAIN_MAP = b"MPF\0", b"urn:iso:std:iso:ts:21496"
MAX_XMP = 65000
"""Bytes of XMP, for which there is one segment, with room for the mark."""

_VIDEO = re.compile(rb"ftyp(isom|iso[2-9]|mp4[12]|qt  |avc1|M4V )|MotionPhoto_Data")
_KNOWN = {
    APP: (_JFIF, b"JFXX\0"),
    APP + 1: (_EXIF, _XMP, _EXTENDED_XMP),
    APP + 2: (_PROFILE, _MPF, _GAIN_MAP),
    APP + 12: (b"Ducky",),  # the quality that Photoshop wrote with
    APP + 13: (_PHOTOSHOP,),
    APP + 14: (_ADOBE,),
}


@dataclass(frozen=True)
class JpegWriter:
    """How to write a JPEG.

    Parameters
    ----------
    options
        Of Pillow's encoder.
    jfif
        The segment APP0 of the source, or nothing; None: the encoder's.
    adobe
        The segment APP14 of the source, or nothing.
    """

    name: ClassVar[str] = "JPEG"
    modes: ClassVar[tuple[str, ...]] = ("L", "RGB")

    options: dict[str, Any]
    jfif: bytes | None = None
    adobe: bytes = b""

    def write(self, image: Image.Image, metadata: Metadata) -> bytes:
        """Return the file."""
        stream = encode(image, "JPEG", optimize=True, **self.options)
        start, jfif, adobe = len(START), b"", self.adobe
        for marker, body in read_segments(stream)[0]:  # the encoder's own, before its tables
            if marker == APP:
                jfif = make_segments(marker, body) if self.jfif is None else self.jfif
            elif marker == APP + 14:
                adobe = make_segments(marker, body)
            else:
                break
            start += 4 + len(body)
        parts = (
            (metadata.exif, APP + 1, _EXIF),
            (metadata.xmp, APP + 1, _XMP),
            (metadata.photoshop, APP + 13, _PHOTOSHOP),
        )
        segments = [make_segments(marker, body, prefix) for body, marker, prefix in parts if body]
        segments += [_profile_segments(metadata.profile)]
        segments += [make_segments(COMMENT, comment) for comment in metadata.comments]
        return b"".join((START, jfif, *segments, adobe, stream[start:]))


def read_jpeg(data: bytes, image: JpegImagePlugin.JpegImageFile, note: Note) -> tuple[JpegWriter, Metadata]:
    """Return how to write a JPEG like this one, and its metadata.

    Only the kinds of metadata that are known are taken, as any other segment may hold a preview.
    """
    segments, scan = read_segments(data)
    comments = [body for marker, body in segments if marker == COMMENT]
    metadata = Metadata(
        exif=b"".join(_bodies(segments, 1, _EXIF)),  # long ones are split
        xmp=_short_xmp(b"".join(_bodies(segments, 1, _XMP)[:1]), note),
        photoshop=b"".join(_bodies(segments, 13, _PHOTOSHOP)),
        profile=image.info.get("icc_profile") or b"",
        comments=tuple(comment for comment in comments if not holds_picture(comment)),
    )
    if len(metadata.comments) < len(comments):
        note("comments that hold a picture are left out, as it may show the original")
    if "icc_profile" in image.info and not metadata.profile:
        note("its colour profile is damaged and left out")
    _note_losses(segments, data[end_of_picture(data, scan) :], metadata.xmp, note)
    return _make_writer(segments, image, note), metadata


def _short_xmp(packet: bytes, note: Note) -> bytes:
    """Return a packet, or nothing if there is no room in its segment for the mark."""
    with suppress(ValueError):  # what is damaged is left out later
        if len(packet) > MAX_XMP and len(clean_xmp(packet, private=False)) > MAX_XMP:
            note("its XMP data are left out: a JPEG has no room for them and the mark")
            return b""
    return packet


def _bodies(segments: list[Segment], number: int, name: bytes) -> list[bytes]:
    """Return what the segments APPn hold behind the name of a kind."""
    return [body.removeprefix(name) for marker, body in segments if marker == APP + number and body.startswith(name)]


def _profile_segments(profile: bytes) -> bytes:
    size = 65533 - len(_PROFILE) - 2
    parts = [profile[start : start + size] for start in range(0, len(profile), size)]
    return b"".join(
        make_segments(APP + 2, _PROFILE + bytes([number, len(parts)]) + part) for number, part in enumerate(parts, 1)
    )


def _make_writer(segments: list[Segment], image: JpegImagePlugin.JpegImageFile, note: Note) -> JpegWriter:
    jfif = _bodies(segments, 0, _JFIF)[:1]
    adobe = _bodies(segments, 14, _ADOBE)[:1]
    frame = image.layer  # number, horizontal and vertical sampling, and quantisation table of each component
    tables = [image.quantization[table] for *_, table in frame]
    while len(tables) > 1 and tables[-1] == tables[-2]:  # the last one holds for all that follow
        tables.pop()
    options: dict[str, Any] = {"qtables": tables, "progressive": "progressive" in image.info}
    is_rgb = False
    if len(frame) == 3:
        # What decoders conclude: libjpeg, jdapimin.c.
        by_adobe = adobe and adobe[0][6:7] == b"\0"
        is_rgb = not jfif and bool(by_adobe if adobe else [number for number, *_ in frame] == [*b"RGB"])
        options |= {"keep_rgb": is_rgb, "subsampling": 0 if is_rgb else _subsampling(frame, note)}
    keeps_adobe = adobe and len(frame) == 3 and not is_rgb and adobe[0][6:7] == b"\1"
    return JpegWriter(
        options,
        jfif=make_segments(APP, _JFIF + jfif[0][:7] + b"\0\0") if jfif and len(jfif[0]) >= 7 else b"",
        adobe=make_segments(APP + 14, _ADOBE + adobe[0]) if keeps_adobe else b"",
    )


def _subsampling(frame: list[tuple[int, int, int, int]], note: Note) -> int:
    """Return Pillow's number of a chroma subsampling; of one that it cannot write, that of none."""
    (_, width, height, _), *chroma = frame
    ratios = {(width / across, height / down) for _, across, down, _ in chroma}
    known = {(1.0, 1.0): 0, (2.0, 1.0): 1, (2.0, 2.0): 2}
    ratio = ratios.pop()
    if ratios or ratio not in known:
        note("its rare chroma subsampling cannot be written; the chroma is written in full, and the file grows")
        return 0
    return known[ratio]


def _note_losses(segments: list[Segment], behind: bytes, xmp: bytes, note: Note) -> None:
    """Note what else a file holds and a protected photo does not."""
    bodies = [body for _, body in segments]
    has_gain_map = any(name in behind or name in xmp for name in (b"hdrgm:", b"HDRGainMap", _GAIN_MAP))
    has_pictures, has_video = START + b"\xff" in behind, _VIDEO.search(behind) is not None
    if has_gain_map or any(body.startswith(_GAIN_MAP) for body in bodies):
        note("its HDR gain map is left out: the photo shows in standard range")
    elif has_pictures:
        note("the other pictures in the file are left out")
    if has_video:
        note("the video of the motion photo is left out")
    if behind.strip(b"\0\xff\r\n ") and not has_pictures and not has_video:
        note(f"{len(behind):,} bytes of unknown data after the picture are left out")
    if any(body.startswith(_EXTENDED_XMP) for body in bodies):
        note("its extended XMP data are left out: they may hold the original")
    if any(_is_manifest(segment) for segment in segments):
        note("its content credentials (C2PA) are left out: they do not hold for changed pixels")
    if unknown := {f"APP{segment.marker - APP}" for segment in segments if _is_unknown(segment)}:
        note(f"data of unknown kind are left out, as they may show the original ({', '.join(sorted(unknown))})")


def _is_manifest(segment: Segment) -> bool:
    return segment.marker == APP + 11 and b"jumb" in segment.body[:32]


def _is_unknown(segment: Segment) -> bool:
    is_known = segment.body.startswith(_KNOWN.get(segment.marker, ()))
    return APP <= segment.marker <= APP + 15 and not is_known and not _is_manifest(segment)
