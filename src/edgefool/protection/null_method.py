"""The null method for a photo's file: its details enhanced as for a protected photo, without an attack."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from edgefool.attacks import RobustEdgeFool
from edgefool.images import round_to_8_bits
from edgefool.images.decode import image_errors
from edgefool.images.read import upright_levels
from edgefool.images.tensors import from_levels
from edgefool.protection.bounds import shrink
from edgefool.protection.full_resolution import add_lightness, lightness_change
from edgefool.protection.photo_file import PhotoFile
from edgefool.protection.protector import Strength, attack_size


def enhance_alone(photo: PhotoFile, strength: Strength, factor: float = 1) -> NDArray[np.uint8]:
    """Return a photo with enhanced details as it is read again from a file of its format.

    The filter works at the size at which photos are attacked, and its change of L* is enlarged as theirs is. What
    differs is the attack alone.

    Parameters
    ----------
    photo
        As `edgefool.protection.open_photo` reads it.
    strength
        As in `edgefool.Protector`.
    factor
        The change is multiplied by it, as that of a photo that was weakened.

    Returns
    -------
    NDArray
        (H, W, 3), uint8, sRGB, upright.

    Raises
    ------
    ImageError
        If it cannot be encoded.
    """
    upright = photo.upright()
    small = shrink(upright, attack_size(*upright.shape[:2]))
    del upright
    image = from_levels(torch.tensor(small).permute(2, 0, 1)[None])
    enhancement = RobustEdgeFool(strength=strength).enhancement  # type: ignore[arg-type]  # pydantic looks it up
    enhanced = round_to_8_bits(enhancement.enhance(enhancement.prepare(image), enhancement.smooth(image)))
    change = np.ascontiguousarray(photo.to_stored(lightness_change(image[0], enhanced[0])))
    data = photo.encode(add_lightness(photo.pixels, change, factor), "enhanced alone", "none")
    with image_errors():
        return upright_levels(data, math.inf, lambda _: None)
