"""Text of files and classes, which may hold anything."""


def plain(text: str) -> str:
    r"""Keep untrusted text on its line and from controlling a terminal.

    >>> plain("cat\x1b[31m")
    'cat?[31m'
    """
    return "".join(character if character.isprintable() else "?" for character in text)
