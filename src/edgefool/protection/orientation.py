"""Between pixels as a file stores them and as people see them."""

from typing import Any

from numpy.typing import NDArray

_INVERSE = {6: 8, 8: 6}  # the others are their own


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels as EXIF's orientation says, without copying.

    Parameters
    ----------
    pixels
        (H, W, ...).
    orientation
        1 to 8.
    """
    if orientation >= 5:  # the first row is a side
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def turn_back(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn upright pixels as they are stored: the inverse of `turn_upright`.

    >>> import numpy as np
    >>> upright = np.arange(6).reshape(2, 3)
    >>> all(np.array_equal(turn_upright(turn_back(upright, number), number), upright) for number in range(1, 9))
    True
    """
    return turn_upright(pixels, _INVERSE.get(orientation, orientation))
