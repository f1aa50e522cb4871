"""Pictures within texts and other data, which may show the original."""

import re

from edgefool.protection.jpeg_segments import embedded_pictures

_ENCODED = re.compile(r"\s*(data:image/|/9j/|iVBORw0KGgo|UklGR)")  # an address, or base64 of a JPEG, PNG or WebP
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"WEBPVP8")


def is_encoded_picture(text: str) -> bool:
    """Return whether a text is a picture in base64.

    >>> is_encoded_picture("data:image/jpeg;base64,/9j/4AAQ"), is_encoded_picture("a title")
    (True, False)
    """
    return _ENCODED.match(text) is not None


def holds_picture(data: bytes) -> bool:
    r"""Return whether there is a picture in some data, as it is or in base64 behind a zero byte.

    >>> holds_picture(b"title\0/9j/4AAQ"), holds_picture(b"a comment")
    (True, False)
    """
    if any(signature in data for signature in _SIGNATURES) or any(True for _ in embedded_pictures(data)):
        return True
    return any(map(is_encoded_picture, data.decode("latin-1").split("\0")))
