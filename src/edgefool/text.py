"""Text from files and classifiers, which may contain anything."""

import codecs
import re
import unicodedata


def decode(data: bytes) -> str:
    r"""Return the text of a file in UTF-8, or in UTF-16 with a byte order mark; raise `UnicodeDecodeError` for others.

    >>> decode(b"\xef\xbb\xbffile"), decode("file".encode("utf-16"))
    ('file', 'file')
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_utf16 else "utf-8-sig")


def one_form(text: str) -> str:
    r"""Return text in Unicode's composed form, as disks and programs write the same name in different forms.

    >>> one_form("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    r"""Return text that stays on its line and cannot control a terminal.

    >>> plain("cat\x1b[31m")
    'cat?[31m'
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def slug(name: str) -> str:
    """Return a name that can be the name of a folder.

    >>> slug("models.py:mobilenet_v2")
    'models.py-mobilenet_v2'
    """
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "unnamed"
