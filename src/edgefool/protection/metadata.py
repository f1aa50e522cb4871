"""The metadata of a photo, and what of them a protected photo carries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from edgefool.protection.exif import clean_exif, make_exif
from edgefool.protection.photoshop import clean_iptc, clean_photoshop
from edgefool.protection.xmp import clean_xmp, mark_xmp, read_mark

MetadataPolicy = Literal["private", "keep", "none"]
"""``private``: all but position, serial numbers, maker notes and owner; ``keep``: all; ``none``: none of them. The
colour profile and the orientation always stay, and pictures of the original always go."""

Note = Callable[[str], None]


@dataclass(frozen=True)
class Metadata:
    """The metadata of a photo in the standards' own bytes; empty where there are none.

    Parameters
    ----------
    exif
        A TIFF structure, without the prefix "Exif" and two zero bytes that it has in a JPEG.
    xmp
        A packet.
    photoshop
        Image resources.
    iptc
        IPTC data outside of them, in TIFF.
    profile
        An ICC profile.
    comments
        Texts, each in the form that the file format gives them.
    """

    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    iptc: bytes = b""
    profile: bytes = b""
    comments: tuple[bytes, ...] = ()

    @property
    def mark(self) -> str | None:
        """The mark of a protected photo."""
        return read_mark(self.xmp) if self.xmp else None

    def without_pictures(self, note: Note) -> "Metadata":
        """Return them without thumbnails and previews; what is damaged is left out and noted."""

        def cleaned(kind: str, data: bytes, clean: Callable[..., bytes]) -> bytes:
            try:
                return clean(data, private=False) if data else b""
            except ValueError:
                note(f"its {kind} data are damaged and left out")
                return b""

        return replace(
            self,
            exif=cleaned("EXIF", self.exif, clean_exif),
            xmp=cleaned("XMP", self.xmp, clean_xmp),
            photoshop=cleaned("Photoshop", self.photoshop, clean_photoshop),
            iptc=cleaned("IPTC", self.iptc, clean_iptc),
        )

    def for_protected(self, policy: MetadataPolicy, orientation: int, mark: str) -> "Metadata":
        """Return what a protected photo carries, of metadata that are `without_pictures`.

        Parameters
        ----------
        policy
            Which of them stay.
        orientation
            Of the stored pixels, 1 to 8, which stays in any case.
        mark
            The text of the mark.
        """
        chosen = self
        if policy == "none":
            chosen = Metadata(profile=self.profile)
        elif policy == "private":
            chosen = replace(
                self,
                exif=clean_exif(self.exif, private=True) if self.exif else b"",
                xmp=clean_xmp(self.xmp, private=True) if self.xmp else b"",
                photoshop=clean_photoshop(self.photoshop, private=True),
                iptc=clean_iptc(self.iptc, private=True),
            )
        exif = chosen.exif or (make_exif(orientation) if orientation != 1 else b"")
        return replace(chosen, exif=exif, xmp=mark_xmp(chosen.xmp, mark))
