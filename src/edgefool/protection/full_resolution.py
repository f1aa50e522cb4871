"""A change of lightness that was found at a small size, put onto the full photo."""

from functools import cache

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_lab, rgb_to_linear_rgb, rgb_to_xyz, xyz_to_rgb
from numpy import asarray, empty_like, float32, int32, uint8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgefool.protection.in_order import map_in_order, threads_for

STRIP = 2**16
"""Pixels of a strip, which bounds the memory; larger ones are not faster."""

_ENTRIES = 2**18  # of the tables of functions of [0, 1]; finer ones are slower
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])  # D65
_TO_XYZ = rgb_to_xyz(torch.eye(3)[..., None])[..., 0].T / _WHITE  # (R, G, B) to (X / Xn, Y / Yn, Z / Zn)
_FROM_XYZ = (xyz_to_rgb(torch.eye(3)[..., None])[..., 0] * _WHITE).T
_LINEAR = rgb_to_linear_rgb(torch.arange(256).expand(3, 1, 256) / 255)[0, 0].numpy()


@cache
def _tables() -> tuple[NDArray[float32], NDArray[uint8]]:
    """Return f of CIELAB, the cube root that is linear near black, and the levels of linear RGB."""
    t = torch.arange(_ENTRIES + 1) / _ENTRIES
    f = torch.where(t > 0.008856, t.clamp_min(0.008856) ** (1 / 3), 7.787 * t + 4 / 29)
    return f.numpy(), (linear_rgb_to_rgb(t.expand(3, 1, -1))[0, 0] * 255).round().byte().numpy()


def lightness_change(original: Tensor, changed: Tensor) -> NDArray[float32]:
    """Return by how much L* of CIELAB differs between two images.

    Parameters
    ----------
    original, changed
        (3, H, W), RGB in [0, 1].

    Returns
    -------
    NDArray
        (H, W), float32, -100 to 100.

    Examples
    --------
    >>> white, black = torch.ones(3, 16, 16), torch.zeros(3, 16, 16)
    >>> lightness_change(white, black).min().round()
    np.float32(-100.0)
    """
    lightness = [rgb_to_lab(image.float())[0] for image in (changed, original)]
    return (lightness[0] - lightness[1]).cpu().numpy()


def add_lightness(pixels: NDArray[uint8], change: NDArray[float32], factor: float = 1.0) -> NDArray[uint8]:
    """Add a change of L* to a photo; a* and b* stay, except where the colour would leave sRGB and is clipped.

    The change is enlarged by bicubic interpolation. Both are handled in strips of `STRIP` pixels, so that little more
    memory is needed than for the result.

    Parameters
    ----------
    pixels
        (H, W, C), uint8; C is 1 for grey, 3 for RGB, 2 and 4 with alpha, which stays. Taken for sRGB: for other
        colours the change is approximate.
    change
        (h, w), L* of 0 to 100, of the same picture in the same orientation.
    factor
        The change is multiplied by it.

    Returns
    -------
    NDArray
        (H, W, C), uint8.

    Examples
    --------
    >>> import numpy as np
    >>> add_lightness(np.full((16, 16, 1), 100, uint8), np.full((4, 4), 10, float32)).max()
    np.uint8(125)
    """
    height, width, channels = pixels.shape
    colours = 1 if channels < 3 else 3
    # In two passes, as Pillow does it, but the second one strip by strip.
    wide = Image.fromarray(change * float32(factor)).resize((width, len(change)), Image.Resampling.BICUBIC)
    result, rows, scale = empty_like(pixels), max(1, STRIP // width), len(change) / height

    def fill(top: int, _: object) -> None:
        strip = slice(top, min(top + rows, height))
        box = (0, strip.start * scale, width, strip.stop * scale)
        enlarged = wide.resize((width, strip.stop - strip.start), Image.Resampling.BICUBIC, box=box)
        result[strip, :, :colours] = _brighten(pixels[strip, :, :colours], asarray(enlarged))
        result[strip, :, colours:] = pixels[strip, :, colours:]

    tops = range(0, height, rows)
    threads = threads_for(len(tops), on_cpu=True)
    for _ in map_in_order(fill, tops, threads, size=lambda _: 1, room=len(tops)):
        pass
    return result


def _brighten(levels: NDArray[uint8], change: NDArray[float32]) -> NDArray[uint8]:
    """Add a change of L*, (H, W), to colours (H, W, 1 or 3).

    L* = 116 f(Y) - 16, a* = 500 (f(X) - f(Y)), b* = 200 (f(Y) - f(Z)): where only L* changes, f changes alike for all.
    """
    roots, encoded = _tables()
    colours = torch.from_numpy(_LINEAR.take(levels))
    is_grey = levels.shape[2] == 1
    xyz = colours if is_grey else colours @ _TO_XYZ
    f = torch.from_numpy(roots.take(_places(xyz))) + torch.from_numpy(change / 116)[..., None]
    f[..., 2:].clamp_(min=0)  # as kornia's lab_to_rgb
    xyz = torch.where(f > 0.2068966, f**3, (f - 4 / 29) / 7.787)
    return encoded.take(_places(xyz if is_grey else xyz @ _FROM_XYZ))


def _places(values: Tensor) -> NDArray[int32]:
    """Return where values are in the tables, those outside of [0, 1] at the nearest end."""
    places: NDArray[int32] = (values.clamp(0, 1) * _ENTRIES).round().int().numpy()
    return places
