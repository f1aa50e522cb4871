"""Names of files that come from elsewhere."""

import re
from pathlib import PurePosixPath

from edgefool.text import one_form

_MOST = 100  # characters of a stem, with which disks and browsers cope
_SUFFIX = re.compile(r"\.\w{1,10}", re.ASCII)


def clean_name(text: str) -> str:
    r"""Return the name of a file: no folders, nothing that controls a terminal or turns text, nothing a disk refuses.

    >>> clean_name("C:\\photos\\my cat.jpg"), clean_name("../../.profile"), clean_name("a\u202egpj.exe"), clean_name("")
    ('my cat.jpg', 'profile', 'a_gpj.exe', 'photo')
    """
    last = re.split(r"[/\\]", one_form(text))[-1]
    kept = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last).strip(" .")
    stem, suffix = split_name(kept)
    return stem[:_MOST].rstrip(" .") + suffix or "photo"


def split_name(name: str) -> tuple[str, str]:
    """Return what stands before the suffix of a name, and the suffix, which is empty if it is an odd one.

    >>> split_name("my.cat.JPG"), split_name("cat"), split_name("Mr. Smith and his cat")
    (('my.cat', '.JPG'), ('cat', ''), ('Mr. Smith and his cat', ''))
    """
    suffix = PurePosixPath(name).suffix
    return (name.removesuffix(suffix), suffix) if _SUFFIX.fullmatch(suffix) else (name, "")
