"""Memory that was freed, back to the system."""

import ctypes
import sys


def release_memory() -> None:
    """Give the system what the C library keeps for later; only glibc can be asked.

    It keeps 0.27 GB after an attack on a photo, and 0.2 GB after a photo of 50 million pixels was encoded.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
