"""Random transforms of images under attack: diverse inputs, scale invariance, shuffled blocks, low resolution, flips.

The first three are those of Xie et al., CVPR 2019, https://arxiv.org/abs/1803.06978, Lin et al., ICLR 2020,
https://arxiv.org/abs/1908.06281, and, without rotation, Wang et al., CVPR 2024, https://arxiv.org/abs/2308.10299; lower
resolutions are what images go through that are resized before a classifier sees them.
Each acts on rows and columns apart: a matrix for the rows and one for the columns are the whole transform, and a batch
takes two products however much its images' transforms differ.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from edgefool.attacks.functional import per_image


@dataclass(frozen=True)
class RandomTransforms:
    """Shrink, crop, lower the resolution, darken, shuffle blocks, and flip.

    Parameters
    ----------
    probability : float
        Of each of the first four, for each image.
    min_size, min_crop : float
        The smallest share of its sides to which an image is shrunk, at a random place on black, and that a crop at a
        random place keeps, enlarged to the whole.
    min_resolution : float
        The smallest share of its sides to which an image is shrunk, antialiased, and from which it is enlarged again.
    min_brightness : float
        The smallest factor.
    blocks : int
        Each side is cut into so many blocks, which change places; 1: none. Cuts are at most 0.4 blocks away from where
        they would make equal blocks.
    """

    probability: float
    min_size: float = 1.0
    min_crop: float = 1.0
    min_resolution: float = 1.0
    min_brightness: float = 1.0
    blocks: int = 1
    flip_probability: float = 0.0

    def __call__(
        self, images: Tensor, keys: Sequence[tuple[int, ...]], resizing: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Transform images (N, 3, H, W), each by random numbers of its own key, so that its batch does not matter.

        ``resizing`` are matrices (S, H) and (S, W) that act on rows and columns afterwards; the result is (N, 3, S, S).

        >>> images = torch.rand(2, 3, 8, 8)
        >>> torch.allclose(RandomTransforms(probability=0)(images, [(0,), (1,)]), images, atol=1e-6)
        True
        """
        counts = [9, *2 * [2 + 2 * self.blocks - 1]]
        drawn = torch.stack([torch.rand(sum(counts), generator=generator(*key)) for key in keys], 1).to(images)
        common, *sides = torch.split(drawn, counts)
        smallest = drawn.new_tensor([self.min_size, self.min_crop, self.min_resolution, self.min_brightness])[:, None]
        shares = torch.where(common[:4] < self.probability, smallest + (1 - smallest) * common[4:8], 1)
        flipped = common[8] < self.flip_probability
        upright, (last_rows, last_columns) = torch.zeros_like(flipped), resizing or (None, None)
        rows = _matrices(images.shape[2], shares, sides[0], upright, last_rows)
        columns = _matrices(images.shape[3], shares, sides[1], flipped, last_columns)
        brightness = shares[3]
        return per_image(brightness) * (rows[:, None] @ images @ columns.mT[:, None])


def generator(*key: int) -> Generator:
    """Return a random generator of its own for a key, such as an image's seed, its step and a member of an ensemble.

    >>> bool(torch.rand((), generator=generator(7, 0, 1)) == torch.rand((), generator=generator(7, 0, 1)))
    True
    """
    digest = hashlib.sha256(",".join(map(str, key)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def _matrices(length: int, shares: Tensor, drawn: Tensor, flipped: Tensor, last: Tensor | None) -> Tensor:
    """Return what all transforms do to the rows or the columns, (N, length, length), or (N, S, length) after ``last``.

    The shares are those of size, crop and resolution. Of the numbers drawn from 0 to 1, (2 B + 1, N), one places the
    shrunk image, one the crop; the rest are the blocks'. ``flipped`` (N,) are reversed; ``last`` is (S, length).
    """
    shrink, crop, resolution = 1 / shares[0], shares[1], shares[2]
    place, window = 2 * drawn[:2] - 1
    shift = place * (shrink - 1) + shrink * window * (1 - crop)
    order = draw_order(length, drawn[2:])
    order = torch.where(flipped[:, None], order.flip(1), order)
    enlarge, lower = lower_resolution(length, resolution)
    matrices = enlarge.gather(1, order[..., None].expand_as(enlarge))
    if last is not None:
        matrices = last @ matrices
    return matrices @ lower @ sample(length, shrink * crop, shift)


def sample(length: int, scale: Tensor, shift: Tensor) -> Tensor:
    """Return the matrices of linear interpolation at the places scale x + shift, black where there is no image.

    Both x, the place in the result, and the place in the image go from -1 to 1 from border to border, as in
    `torch.nn.functional.grid_sample`.

    Parameters
    ----------
    scale, shift : Tensor
        (N,).

    Returns
    -------
    Tensor
        (N, length, length), result by image.
    """
    x = _centres(length, scale) * 2 / length - 1
    return _interpolate(length, ((scale[:, None] * x + shift[:, None] + 1) * length - 1) / 2)


def lower_resolution(length: int, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrices (N, length, length) that enlarge linearly, and those that shrink to a share (N,), antialiased.

    >>> enlarge, shrink = lower_resolution(4, torch.tensor([0.5]))
    >>> (enlarge @ shrink)[0, 0]
    tensor([0.4286, 0.4286, 0.1429, 0.0000])
    """
    centres = _centres(length, shares)
    lowered = (shares * length).round().clamp_min(1)[:, None]
    step = (length / lowered)[..., None]
    shrink = (1 - (centres - step * centres[:, None]).abs() / step).clamp_min(0)  # rows past `lowered` are not used
    shrink = shrink / shrink.sum(-1, keepdim=True).clamp_min(torch.finfo(shares.dtype).eps)
    places = (centres * lowered / length - 0.5).clamp_min(0).minimum(lowered - 1)
    return _interpolate(length, places), shrink


def draw_order(length: int, drawn: Tensor) -> Tensor:
    """Return the order (N, length) of rows or columns whose B blocks change places.

    Parameters
    ----------
    drawn : Tensor
        (2 B - 1, N), random numbers from 0 to 1: B - 1 for the cuts, and B whose order is that of the blocks.
    """
    blocks = (len(drawn) + 1) // 2
    middle = torch.arange(1, blocks, device=drawn.device)[:, None]
    cuts = ((middle - 0.4 + 0.8 * drawn[: blocks - 1]) * length / blocks).round()
    rows = torch.arange(length, device=drawn.device)
    block = (rows >= cuts[..., None]).sum(0)
    ranks = drawn[blocks - 1 :].argsort(0).argsort(0)
    return (ranks.T.gather(1, block) * length + rows).argsort(1)


def _centres(length: int, like: Tensor) -> Tensor:
    return torch.arange(length, dtype=like.dtype, device=like.device) + 0.5


def _interpolate(length: int, places: Tensor) -> Tensor:
    """Return the matrices (N, K, length) of linear interpolation at places (N, K), in pixels, 0 the first's centre."""
    pixels = torch.arange(length, dtype=places.dtype, device=places.device)
    return (1 - (places[..., None] - pixels).abs()).clamp_min(0)
