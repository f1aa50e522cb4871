"""Text from files and classifiers, which may contain anything."""


def plain(text: str) -> str:
    r"""Return text that stays on its line and cannot control a terminal.

    >>> plain("cat\x1b[31m")
    'cat?[31m'
    """
    return "".join(character if character.isprintable() else "?" for character in text)
