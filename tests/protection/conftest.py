"""Metadata as cameras and editors write them, made by hand for both byte orders."""

import io
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

SECRETS = (b"GPSSECRET", b"SERIAL-OF-BODY", b"SERIAL-OF-LENS", b"NAME OF OWNER", b"ID OF PHOTO", b"HOST OF OWNER")
MAKER_NOTE = b"Maker\0notes that point to themselves"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 48, width: int = 64) -> np.ndarray:
    """Return a photo that JPEG keeps well, with some texture."""
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows * 255 / height, columns * 255 / width, 0 * rows + 90], -1)
    return np.clip(smooth + np.random.default_rng(0).normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


THUMBNAIL = encoded(Image.fromarray(noise(16, 24)), "JPEG")


@dataclass
class Structure:
    """A TIFF structure that is written front to back."""

    order: str = "<"
    data: bytearray = field(default_factory=bytearray)

    def __post_init__(self):
        self.data += (b"II*\0" if self.order == "<" else b"MM\0*") + bytes(4)

    def value(self, content: bytes) -> int:
        offset = len(self.data)
        self.data += content + bytes(len(content) % 2)
        return offset

    def directory(self, *entries: tuple[int, int, int, int], following: int = 0) -> int:
        table = b"".join(struct.pack(self.order + "HHII", *entry) for entry in entries)
        return self.value(
            struct.pack(self.order + "H", len(entries)) + table + struct.pack(self.order + "I", following)
        )

    def text(self, tag: int, content: bytes, kind: int = 2) -> tuple[int, int, int, int]:
        return tag, kind, len(content), self.value(content)

    def short(self, tag: int, number: int) -> tuple[int, int, int, int]:
        return tag, 3, 1, number if self.order == "<" else number << 16

    def finish(self, first: int) -> bytes:
        self.data[4:8] = struct.pack(self.order + "I", first)
        return bytes(self.data)


def make_exif(order: str = "<", *, maker_note: bool = True, strips: bool = False) -> bytes:
    """Return EXIF data with all that cameras write: maker notes with a preview, position, serial numbers, thumbnail."""
    made = Structure(order)
    gps = made.directory(
        (1, 2, 2, int.from_bytes(b"N\0\0\0", "big" if order == ">" else "little")), made.text(29, SECRETS[0])
    )
    exif = [made.text(0x829A, struct.pack(order + "II", 1, 50), 5), made.text(0x9003, b"2024:05:06 07:08:09\0")]
    exif[0] = (0x829A, 5, 1, exif[0][3])
    if maker_note:
        offset = struct.pack(order + "I", len(made.data))
        exif.append(made.text(0x927C, MAKER_NOTE + offset + b"MAKERSECRET" + b"\0" + THUMBNAIL[1:] + b"behind", 7))
    exif += [made.text(tag, secret) for tag, secret in zip((0xA431, 0xA435, 0xA430, 0xA420), SECRETS[1:5], strict=True)]
    details = made.directory(*sorted(exif))
    if strips:
        pixels = made.text(0x0111, b"RAWTHUMBNAIL" * 20)
        thumbnail = [(0x0111, 4, 1, pixels[3]), (0x0117, 4, 1, pixels[2])]
    else:
        pixels = made.text(0x0201, THUMBNAIL)
        thumbnail = [made.short(0x0103, 6), (0x0201, 4, 1, pixels[3]), (0x0202, 4, 1, pixels[2])]
    main = [
        made.text(0x010F, b"Maker of cameras"),
        made.short(0x0112, 6),
        made.text(0x013B, b"Name of artist"),
        made.text(0x013C, SECRETS[5]),
        (0x8769, 4, 1, details),
        (0x8825, 4, 1, gps),
    ]
    return made.finish(made.directory(*main, following=made.directory(*thumbnail)))


XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
   xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
   xmp:Rating="5" exif:GPSLatitude='GPSSECRET "52,30N"' aux:SerialNumber = "SERIAL-OF-BODY" GCamera:MotionPhoto="1"
   dc:format="a exif:GPSLatitude='not one' &gt;">
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Title &amp; more</rdf:li></rdf:Alt></dc:title>
  <exif:GPSLongitude>GPSSECRET</exif:GPSLongitude><aux:OwnerName/>
  <xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt>
  </xmp:Thumbnails><other:Preview xmlns:other="urn:other"> /9j/4AAQ </other:Preview>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>{padding}
<?xpacket end="w"?>""".replace("{padding}", " " * 2000).encode()


PHOTOSHOP = b"".join(
    b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)
    for number, content in {
        0x03ED: b"resolution info.",
        0x0404: b"".join(
            b"\x1c\x02" + struct.pack(">BH", number, len(text)) + text
            for number, text in {
                80: b"Name of author",
                90: b"GPSSECRET",
                202: b"PREVIEWSECRET",
                120: b"Caption",
            }.items()
        ),
        0x0425: b"digest of IPTC..",
        0x040C: b"THUMBNAILSECRET",
    }.items()
)


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """Return metadata, and what makes them."""
    return SimpleNamespace(
        encoded=encoded,
        noise=noise,
        make_exif=make_exif,
        Structure=Structure,
        secrets=SECRETS,
        maker_note=MAKER_NOTE,
        thumbnail=THUMBNAIL,
        xmp=XMP,
        photoshop=PHOTOSHOP,
    )


@pytest.fixture
def exiftool() -> Callable[[Path], str]:
    """Return what exiftool shows of a file, or skip."""
    program = shutil.which("exiftool")
    if not program:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")

    def show(path: Path) -> str:
        return subprocess.run([program, "-a", "-G1", "-u", path], check=True, capture_output=True, text=True).stdout

    return show
