"""XMP packets: what is cut out of them and the mark that is inserted, without rewriting the rest.

ISO 16684-1 (https://github.com/adobe/XMP-Toolkit-SDK/blob/main/docs/XMPSpecificationPart1.pdf).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from edgefool.protection.hidden_pictures import is_encoded_picture

NAMESPACE = "https://pypi.org/project/edgefool/protection/1.0/"
"""Of the mark, ``edgefool:Protected``."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PROTECTED = "Protected"

# Everything of these namespaces describes other pictures in the file, or holds them.
_NAMESPACES_OF_PICTURES = (
    "http://ns.adobe.com/xap/1.0/g/img/",  # thumbnails
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/pixeldatainfo/",
    "http://ns.adobe.com/xmp/note/",  # the link to extended XMP
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/audio/",
    "http://ns.google.com/photos/1.0/camera/",  # motion photos
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/dd/1.0/",
)
_PICTURES = frozenset(
    (("http://ns.adobe.com/xap/1.0/", "Thumbnails"), ("http://purl.org/dc/terms/", "provenance"))  # the latter: C2PA
)

_PRIVATE_NAMESPACES = (
    "http://ns.adobe.com/xap/1.0/mm/",  # the identity of the photo, its original and their files
    "http://www.dji.com/drone-dji/",
)
_PRIVATE = re.compile(
    "GPS|Latitude|Longitude|Altitude|Serial|UniqueID|OwnerName|MakerNote|PersonInImage|^CiAdr"
    "|^(Location(Created|Shown|Name)?|Sublocation|City|State|ProvinceState|Country(Code|Name)?|WorldRegion|coverage"
    "|Regions|RegionInfo|ImageRegion|People|ImageNumber|DigitalImageGUID|DocumentAncestors|RawFileName)$",
    re.IGNORECASE,
)

_TAG = re.compile(rb"<[^\s/>]+")
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")
_END_OF_TAG = re.compile(rb"\s*/?>")
_PADDING = re.compile(rb"\s+(?=<\?xpacket end)")

_NEW_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">{{}}</rdf:RDF></x:xmpmeta>\n'
    '<?xpacket end="w"?>'
)


def clean_xmp(packet: bytes, *, private: bool) -> bytes:
    """Return a packet without thumbnails and other pictures, without an earlier mark, and without private properties.

    Properties are cut out at any depth; private are position and places, serial numbers, owner, people, and the
    identity of the photo. White space for later edits is cut as well.

    Parameters
    ----------
    packet
        UTF-8, or UTF-16 with a byte order mark.
    private
        Cut private properties.

    Raises
    ------
    ValueError
        If the packet is not well-formed.
    """

    def is_unwanted(namespace: str, name: str) -> bool:
        if namespace == _RDF:
            return False
        if namespace.startswith((NAMESPACE, *_NAMESPACES_OF_PICTURES)) or (namespace, name) in _PICTURES:
            return True
        return private and (namespace.startswith(_PRIVATE_NAMESPACES) or _PRIVATE.search(name) is not None)

    packet = _as_utf8(packet)
    return _PADDING.sub(b"\n", _without(packet, _read(packet, is_unwanted).cuts))


def mark_xmp(packet: bytes, mark: str) -> bytes:
    """Return a packet with the mark, ``edgefool:Protected``; a new one where this is empty or holds no properties.

    Raises
    ------
    ValueError
        If the packet is not well-formed.
    """
    found = _read(packet) if packet else None
    about = quoteattr(found.about if found else "")
    description = (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={about} xmlns:edgefool="{NAMESPACE}"'
        f" edgefool:{_PROTECTED}={quoteattr(mark)}/>"
    )
    if not found or found.end_of_rdf is None:
        return _NEW_PACKET.format(description).encode()
    return packet[: found.end_of_rdf] + description.encode() + packet[found.end_of_rdf :]


def read_mark(packet: bytes) -> str | None:
    """Return the mark of a packet, None if it has none or is not well-formed."""
    try:
        return _read(_as_utf8(packet)).mark
    except ValueError:
        return None


def _as_utf8(packet: bytes) -> bytes:
    if packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        packet = packet.decode("utf-16", "replace").encode()
    return packet.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")


def _without(packet: bytes, cuts: list[slice]) -> bytes:
    kept, position = b"", 0
    for cut in sorted(cuts, key=lambda cut: cut.start):
        kept += packet[position : cut.start]
        position = max(position, cut.stop)
    return kept + packet[position:]


class _Name(NamedTuple):
    namespace: str
    local: str
    raw: str  # as written, with its prefix


def _name(joined: str) -> _Name:
    """Split a name of expat: namespace, local name and prefix."""
    namespace, local, prefix, *_ = (*joined.split(" "), "", "") if " " in joined else ("", joined, "")
    return _Name(namespace, local, f"{prefix}:{local}" if prefix else local)


@dataclass
class _Element:
    start: int
    end_of_tag: int
    is_empty: bool
    name: _Name
    is_leaf: bool = True
    text: str = ""


class _Packet:
    """What a parser finds in a packet: places to cut, the end of the properties, their subject, and our mark."""

    def __init__(self, packet: bytes, is_unwanted: Callable[[str, str], bool]):
        self.cuts = list[slice]()
        self.end_of_rdf: int | None = None
        self.about = ""
        self.mark: str | None = None
        self._packet, self._is_unwanted, self._open = packet, is_unwanted, list[_Element]()
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.namespace_prefixes = parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse  # no entities
        parser.Parse(packet, True)

    def _refuse(self, *_: object) -> None:
        raise ValueError("XMP with a document type")

    def _start(self, joined: str, attributes: list[str]) -> None:
        if self._open:
            self._open[-1].is_leaf = False
        name, start = _name(joined), self._parser.CurrentByteIndex
        values = {_name(key): value for key, value in zip(attributes[::2], attributes[1::2], strict=True)}
        unwanted = set[str]()
        for key, value in values.items():
            if self._is_unwanted(key.namespace, key.local) or is_encoded_picture(value):
                unwanted.add(key.raw)
            if (key.namespace, key.local) == (_RDF, "about"):
                self.about = self.about or value
            self._note_mark(key, value)
        tag = _TAG.match(self._packet, start)
        position = tag.end() if tag else start
        while attribute := _ATTRIBUTE.match(self._packet, position):
            position = attribute.end()
            if attribute[1].decode() in unwanted:
                self.cuts.append(slice(*attribute.span()))
        end = _END_OF_TAG.match(self._packet, position)
        if not end:
            raise ValueError("XMP with a tag of unknown form")
        self._open.append(_Element(start, end.end(), end[0].endswith(b"/>"), name))

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _end(self, _: str) -> None:
        element = self._open.pop()
        end = element.end_of_tag if element.is_empty else self._packet.index(b">", self._parser.CurrentByteIndex) + 1
        name, text = element.name, element.text.strip()
        if self._is_unwanted(name.namespace, name.local) or (element.is_leaf and is_encoded_picture(text)):
            self.cuts.append(slice(element.start, end))
        if (name.namespace, name.local) == (_RDF, "RDF") and not element.is_empty and self.end_of_rdf is None:
            self.end_of_rdf = self._parser.CurrentByteIndex
        self._note_mark(name, text)

    def _note_mark(self, name: _Name, value: str) -> None:
        if (name.namespace, name.local) == (NAMESPACE, _PROTECTED):
            self.mark = value


def _read(packet: bytes, is_unwanted: Callable[[str, str], bool] = lambda namespace, name: False) -> _Packet:
    try:
        return _Packet(packet, is_unwanted)
    except (expat.ExpatError, UnicodeError) as error:
        raise ValueError(f"XMP that is not well-formed: {error}") from error
