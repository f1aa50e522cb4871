"""Photoshop's image resources, and the IPTC data in them.

https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/#50577409_38034, IPTC-IIM 4.2.
"""

import struct
from collections.abc import Iterator

from edgefool.protection.hidden_pictures import holds_picture

_SIGNATURES = (b"8BIM", b"AgHg", b"DCSR", b"MeSa", b"PHUT")
_IPTC, _IPTC_DIGEST = 0x0404, 0x0425
_ORIGINAL = (0x0409, 0x040C, 0x0422, 0x0423, 0x0424)  # thumbnails; EXIF and XMP, which may hold some

_IPTC_PREVIEW = frozenset((2, number) for number in (200, 201, 202))
_IPTC_POSITION = frozenset((2, number) for number in (26, 27, 90, 92, 95, 100, 101))  # from place to country


def clean_photoshop(resources: bytes, *, private: bool) -> bytes:
    """Return image resources without thumbnails and other pictures, and without the names of places if ``private``.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    cleaned, iptc_changed = list[tuple[int, bytes]](), False
    for number, header, content in _blocks(resources):
        if number == _IPTC:
            iptc = clean_iptc(content, private=private)
            iptc_changed |= iptc != content
            content = iptc
        if number not in _ORIGINAL and not holds_picture(content):
            cleaned.append((number, header + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)))
    return b"".join(block for number, block in cleaned if not (number == _IPTC_DIGEST and iptc_changed))


def _blocks(resources: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, header and content of each resource."""
    position = 0
    while any(resources[position : position + 4]):  # else padding
        if resources[position : position + 4] not in _SIGNATURES or position + 7 > len(resources):
            raise ValueError("Photoshop data without a signature")
        name = 1 + resources[position + 6]
        size = position + 6 + name + name % 2
        content = size + 4
        end = content + int.from_bytes(resources[size:content])
        if end > len(resources):
            raise ValueError("Photoshop data that end too early")
        yield int.from_bytes(resources[position + 4 : position + 6]), resources[position:size], resources[content:end]
        position = end + (end - content) % 2


def clean_iptc(data: bytes, *, private: bool) -> bytes:
    """Return IPTC data without their preview, and without the names of places if ``private``.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    unwanted = _IPTC_PREVIEW | _IPTC_POSITION if private else _IPTC_PREVIEW
    cleaned, position = b"", 0
    while any(data[position : position + 1]):  # else padding
        content = position + 5
        size = int.from_bytes(data[position + 3 : content])
        if size & 0x8000:  # the size of the size
            content += size & 0x7FFF
            size = int.from_bytes(data[position + 5 : content])
        end = content + size
        if data[position] != 0x1C or not position + 5 <= content <= end <= len(data):
            raise ValueError("IPTC data that are damaged or end too early")
        if tuple(data[position + 1 : position + 3]) not in unwanted:
            cleaned += data[position:end]
        position = end
    return cleaned
