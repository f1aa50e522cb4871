"""Where a photo shows faces, in which people notice every change."""

from collections.abc import Iterator
from functools import cache
from math import atan2, degrees, hypot
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from kornia.color import rgb_to_lab
from kornia.filters import gaussian_blur2d
from torch import Tensor

if TYPE_CHECKING:
    from skimage.feature import Cascade

_SMALLEST = 24  # pixels, of a face that the cascade finds
_HUES, _CHROMAS, _DARKEST = (20, 85), (8, 50), 20  # of skin in CIELAB: degrees, C*, L*
_GREY = 1  # C* of all pixels is below it


class _Face(NamedTuple):
    """Row and column of the centre of a face, and the width of the square around it, in pixels."""

    row: float
    column: float
    width: float


def face_mask(images: Tensor) -> Tensor:
    r"""Return where faces are, and skin and hair of the same colour around them.

    .. math::
        G = G_{1.5} * \max_{\text{faces}} \max\left(\left[\tfrac{3}{2} - \tfrac{3}{4} r_1^2\right]_0^1,
            \left[2 - \tfrac{d}{6}\right]_0^1 \left[2 - \tfrac{r_2}{2.5}\right]_0^1\right)

    :math:`r_1` is the distance from the centre of a face in half axes of 0.75 (down) and 0.6 times its width,
    :math:`r_2` the distance in widths, and d that of (a*, b*) from the median in the middle of the face. Frontal faces
    of 24 pixels or more are found by scikit-image's cascade of local binary patterns. It is often wrong, so a face
    counts only if its median has a hue, a chroma and a lightness that skin has. In grey images all faces count, and no
    skin around them.

    Parameters
    ----------
    images : Tensor
        (N, 3, H, W), RGB in [0, 1].

    Returns
    -------
    Tensor
        (N, 1, H, W), in [0, 1]; 0 where no face was found.

    Examples
    --------
    >>> face_mask(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 1, 32, 32])
    """
    colours = images.detach().float().cpu().clamp(0, 1)
    masks = torch.stack([_mask(image, lab) for image, lab in zip(colours, rgb_to_lab(colours), strict=True)])
    return masks[:, None].to(images)


def _mask(image: Tensor, lab: Tensor) -> Tensor:
    height, width = image.shape[1:]
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    is_grey = bool(lab[1:].square().sum(0).max() < _GREY**2)
    mask = torch.zeros(height, width)
    for face in _find_faces(image):
        down, across = (rows - face.row) / face.width, (columns - face.column) / face.width
        distance = (down.square() + across.square()).sqrt()
        colour = lab[:, distance < 0.35].median(1).values
        if is_grey or _is_skin(colour):
            oval = (1.5 - 0.75 * ((down / 0.75).square() + (across / 0.6).square())).clamp(0, 1)
            mask = mask.maximum(oval)
        if _is_skin(colour):
            apart = (lab[1:] - colour[1:, None, None]).square().sum(0).sqrt()
            mask = mask.maximum((2 - apart / 6).clamp(0, 1) * (2 - distance / 2.5).clamp(0, 1))
    blurred: Tensor = gaussian_blur2d(mask[None, None], (9, 9), (1.5, 1.5))[0, 0]
    return blurred.clamp(0, 1)


def _is_skin(colour: Tensor) -> bool:
    lightness, a, b = colour.tolist()
    hue, chroma = degrees(atan2(b, a)), hypot(a, b)
    return lightness > _DARKEST and _HUES[0] < hue < _HUES[1] and _CHROMAS[0] < chroma < _CHROMAS[1]


def _find_faces(image: Tensor) -> Iterator[_Face]:
    """Find frontal faces in an image (3, H, W), and things that are taken for them."""
    shorter = min(image.shape[1:])
    if shorter < _SMALLEST:
        return
    pixels = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    found = _cascade().detect_multi_scale(pixels, 1.2, 1, (_SMALLEST, _SMALLEST), (shorter, shorter))
    for box in found:
        yield _Face(box["r"] + box["height"] / 2, box["c"] + box["width"] / 2, box["width"])


@cache
def _cascade() -> "Cascade":
    # Imported here, as it takes a tenth of a second.
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
