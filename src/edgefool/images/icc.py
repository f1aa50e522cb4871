"""ICC profiles for colours that a file describes by numbers: curves and primaries.

ICC.1:2022 (https://www.color.org/specification/ICC.1-2022-05.pdf).
"""

import struct
from collections.abc import Sequence

import numpy as np

Curve = tuple[float, ...]
"""Parameters g, a, b, c, d of a curve: (a x + b)^g from d on, c x below; g alone: x^g."""

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)

SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
BT2020_PRIMARIES = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
DISPLAY_P3_PRIMARIES = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)

_D50 = np.array([0.9642, 1, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def make_profile(curve: Curve, primaries: Sequence[float] | None = None) -> bytes:
    """Return an ICC profile.

    Parameters
    ----------
    curve
        From values of the file to light, both in [0, 1].
    primaries
        The chromaticities x, y of white, red, green and blue; None: a profile for grey.

    Raises
    ------
    ValueError
        If there are no such colours.
    """
    try:
        numbers = struct.pack(f">HH{len(curve)}i", 3 if len(curve) > 1 else 0, 0, *map(_fixed, curve))
        response = b"para\0\0\0\0" + numbers
        if primaries is None:
            return _profile(b"GRAY", {b"kTRC": response})
        tags = {name + b"TRC": response for name in (b"r", b"g", b"b")}
        for name, light in zip((b"r", b"g", b"b"), _light_of_primaries(primaries).T, strict=True):
            tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *map(_fixed, light))
    except (ArithmeticError, struct.error) as error:
        raise ValueError(str(error)) from error
    return _profile(b"RGB ", tags)


def _light_of_primaries(primaries: Sequence[float]) -> np.ndarray:
    """Return the XYZ of red, green and blue as columns, adapted from the white to D50."""
    white, *colours = [
        np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    ]
    matrix = np.stack(colours, 1)
    matrix = matrix * np.linalg.solve(matrix, white)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, gains[:, None] * (_BRADFORD @ matrix))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    white = struct.pack(">3i", *map(_fixed, _D50))
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x", start + len(body), 0x04200000, b"mntr", space, b"XYZ ", b"acsp", white
    )
    return header + struct.pack(">I", len(tags)) + table + body


def _fixed(value: float) -> int:
    return round(value * 65536)
