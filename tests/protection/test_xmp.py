"""XMP packets: cuts at their place, everything else byte for byte, and a mark."""

import re
import xml.etree.ElementTree as ElementTree
from xml.parsers import expat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgefool.protection.xmp import NAMESPACE, clean_xmp, mark_xmp, read_mark

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def names(packet: bytes) -> set[str]:
    """Return the local names of all properties."""
    found = set()
    for element in ElementTree.fromstring(packet).iter():
        found |= {element.tag.rpartition("}")[2], *(key.rpartition("}")[2] for key in element.attrib)}
    return found


def test_pictures_go_and_the_rest_stays(made):
    cleaned = clean_xmp(made.xmp, private=False)
    assert names(made.xmp) - names(cleaned) == {"Thumbnails", "image", "Preview", "MotionPhoto", "parseType"}
    assert b"/9j/" not in cleaned
    assert b"""dc:format="a exif:GPSLatitude='not one' &gt;">""" in cleaned
    assert b"""exif:GPSLatitude='GPSSECRET "52,30N"' aux:SerialNumber = "SERIAL-OF-BODY" """.strip() in cleaned


def test_private_properties_go(made):
    cleaned = clean_xmp(made.xmp, private=True)
    gone = names(clean_xmp(made.xmp, private=False)) - names(cleaned)
    assert gone == {"GPSLatitude", "GPSLongitude", "SerialNumber", "OwnerName"}
    assert b"SECRET" not in cleaned
    assert b"SERIAL" not in cleaned
    assert {"Rating", "title", "li", "format"} <= names(cleaned)


@pytest.mark.parametrize(
    "name",
    [
        *("exif:GPSAltitude", "exif:ImageUniqueID", "exifEX:LensSerialNumber"),
        *("photoshop:City", "Iptc4xmpCore:Location", "Iptc4xmpExt:LocationShown"),
        *("Iptc4xmpExt:PersonInImage", "mwg-rs:Regions", "MP:RegionInfo"),
        *("xmpMM:DocumentID", "drone-dji:FlightYawDegree"),
        *("photoshop:DocumentAncestors", "Iptc4xmpExt:DigitalImageGUID", "crs:RawFileName"),
        *("dcterms:coverage", "Iptc4xmpCore:CiAdrCity"),
    ],
)
def test_every_kind_of_private_property(name):
    namespaces = {"xmpMM": "http://ns.adobe.com/xap/1.0/mm/", "drone-dji": "http://www.dji.com/drone-dji/1.0/"}
    prefix = name.partition(":")[0]
    declared = f'xmlns:{prefix}="{namespaces.get(prefix, "urn:" + prefix)}"'
    packet = (
        f'<r:RDF xmlns:r="{RDF[1:-1]}"><r:Description r:about="" {declared} xmlns:dc="urn:dc">'
        f"<{name}><r:Bag><r:li>SECRET</r:li></r:Bag></{name}><dc:title>kept</dc:title>"
        f"</r:Description></r:RDF>"
    ).encode()
    assert b"SECRET" in clean_xmp(packet, private=False)
    cleaned = clean_xmp(packet, private=True)
    assert b"SECRET" not in cleaned
    assert b"<dc:title>kept</dc:title>" in cleaned


@pytest.mark.parametrize("start", ["/9j/4AAQ", " iVBORw0KGgoAAAA", "data:image/jpeg;base64,/9j/4AAQ"])
def test_pictures_in_base64_go_whatever_holds_them(start):
    packet = (
        f'<r:RDF xmlns:r="{RDF[1:-1]}"><r:Description r:about="" xmlns:a="urn:a" a:note="{start}" a:title="kept">'
        f"<a:more>{start}</a:more></r:Description></r:RDF>"
    ).encode()
    cleaned = clean_xmp(packet, private=False)
    assert start.encode() not in cleaned
    assert b'a:title="kept"' in cleaned


def test_nothing_to_cut_changes_nothing_but_the_padding(made):
    packet = b"<r:RDF xmlns:r=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"> <r:Description  r:about=''/>\n</r:RDF>"
    assert clean_xmp(packet, private=True) == packet
    padded = b"\xef\xbb\xbf" + packet + b" " * 2000 + b'<?xpacket end="w"?>\0\0'
    assert clean_xmp(padded, private=True) == packet + b'\n<?xpacket end="w"?>'


def test_the_mark_is_put_in_and_read(made):
    for packet in (b"", clean_xmp(made.xmp, private=False), b"<a/>", f'<r:RDF xmlns:r="{RDF[1:-1]}"/>'.encode()):
        marked = mark_xmp(packet, '0.2 <natural> & "more"')
        assert read_mark(marked) == '0.2 <natural> & "more"'
        assert read_mark(packet) is None
        assert ElementTree.fromstring(marked).find(f".//{RDF}Description[@{{{NAMESPACE}}}Protected]") is not None
    marked = mark_xmp(clean_xmp(made.xmp, private=False), "0.2 vivid")
    assert len({e.get(f"{RDF}about") for e in ElementTree.fromstring(marked).iter(f"{RDF}Description")}) == 1
    unmarked = re.sub(rb"<rdf:Description[^>]*Protected[^>]*/>", b"", marked)
    assert unmarked == clean_xmp(made.xmp, private=False)


def test_the_mark_as_an_element_is_read():
    packet = (
        f'<r:RDF xmlns:r="{RDF[1:-1]}"><r:Description xmlns:e="{NAMESPACE}"><e:Protected>0.2 subtle</e:Protected>'
        "</r:Description></r:RDF>"
    ).encode()
    assert read_mark(packet) == "0.2 subtle"
    assert read_mark(clean_xmp(packet, private=False)) is None


def test_utf_16(made):
    text = made.xmp.decode().replace("Title", "Füße")
    assert "Füße" in clean_xmp(text.encode("utf-16"), private=True).decode()
    assert "Füße" in clean_xmp(text.encode(), private=True).decode()


@pytest.mark.parametrize(
    "packet",
    [
        b"no XML",
        b"<a>",
        b"<a></a><b/>",
        b"\xff\xfe\0",
        b"<a>\xff</a>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<a b="1" b="2"/>',
    ],
)
def test_damaged_packets_are_refused(packet):
    with pytest.raises(ValueError, match="XMP"):
        clean_xmp(packet, private=True)
    assert read_mark(packet) is None


@given(place=st.integers(0), change=st.binary(max_size=4), private=st.booleans())
@example(place=110, change=b"}", private=False)  # in a namespace, where ElementTree refuses it
def test_any_damage_is_refused_or_leaves_a_packet(made, place, change, private):
    place %= len(made.xmp)
    packet = made.xmp[:place] + change + made.xmp[place + len(change) :]
    try:
        cleaned = clean_xmp(packet, private=private)
    except ValueError:
        return
    assert read_mark(mark_xmp(cleaned, "0.2 natural")) == "0.2 natural"
    expat.ParserCreate().Parse(cleaned, True)
