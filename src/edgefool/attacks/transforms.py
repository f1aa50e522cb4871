"""Random transforms of images under attack: diverse inputs, scale invariance, shuffled blocks and lower resolutions.

The first three are those of Xie et al., CVPR 2019, https://arxiv.org/abs/1803.06978, Lin et al., ICLR 2020,
https://arxiv.org/abs/1908.06281, and, without rotation, Wang et al., CVPR 2024, https://arxiv.org/abs/2308.10299; the
last is what images go through that are resized before a classifier sees them.
All numbers are drawn by a generator of each image's own, so that an image's transforms do not depend on its batch.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from edgefool.attacks.functional import per_image


def generator(*key: int) -> Generator:
    """Return a random generator of its own for a key, such as an image's seed, its step and a member of an ensemble.

    >>> bool(torch.rand((), generator=generator(7, 0, 1)) == torch.rand((), generator=generator(7, 0, 1)))
    True
    """
    digest = hashlib.sha256(",".join(map(str, key)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def happens(random: Generator, probability: float) -> bool:
    """Draw whether something with this probability happens."""
    return _uniform(random, 0, 1) < probability


def draw_shrinking(random: Generator, smallest: float) -> Tensor:
    """Draw a map that shrinks an image to ``smallest`` to 1 times its sides and puts it at a random place.

    Returns
    -------
    Tensor
        (2, 3), from the plane of the result to that of the image, both [-1, 1]², as `torch.nn.functional.affine_grid`
        takes it.
    """
    size, x, y = _uniform(random, smallest, 1), _uniform(random, -1, 1), _uniform(random, -1, 1)
    return _scaling(1 / size, x * (1 - size) / size, y * (1 - size) / size)


def draw_crop(random: Generator, smallest: float) -> Tensor:
    """Draw a map that enlarges a window at a random place, ``smallest`` to 1 times the sides; see `draw_shrinking`."""
    size, x, y = _uniform(random, smallest, 1), _uniform(random, -1, 1), _uniform(random, -1, 1)
    return _scaling(size, x * (1 - size), y * (1 - size))


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Return the map of a transform that is followed by another; both (2, 3), as `draw_shrinking` returns them."""
    bottom = torch.tensor([[0.0, 0.0, 1.0]])
    return first @ torch.cat([second, bottom])


def draw_transform(random: Generator, probability: float, smallest: float, smallest_crop: float) -> Tensor:
    """Draw a shrinking and then a crop, each with a probability; else the identity. See `draw_shrinking`."""
    transform = torch.eye(2, 3)
    if happens(random, probability):
        transform = compose(transform, draw_shrinking(random, smallest))
    if happens(random, probability):
        transform = compose(transform, draw_crop(random, smallest_crop))
    return transform


def draw_factor(random: Generator, probability: float, smallest: float) -> float:
    """Draw a factor from ``smallest`` to 1 with a probability; else 1."""
    return _uniform(random, smallest, 1) if happens(random, probability) else 1.0


def draw_order(random: Generator, length: int, blocks: int) -> Tensor:
    """Draw the order of rows or columns, (length,), when an image is cut into blocks and these are shuffled.

    Cuts are at most 0.4 blocks away from where they would make equal blocks.

    >>> draw_order(generator(3), 6, 2).sort().values
    tensor([0, 1, 2, 3, 4, 5])
    """
    cuts = [round((k + _uniform(random, -0.4, 0.4)) * length / blocks) for k in range(1, blocks)]
    parts = torch.tensor_split(torch.arange(length), cuts)
    return torch.cat([parts[k] for k in torch.randperm(blocks, generator=random).tolist()])


def reorder(images: Tensor, rows: Sequence[Tensor], columns: Sequence[Tensor]) -> Tensor:
    """Reorder the rows and columns of each image (N, C, H, W), by indices (H,) and (W,).

    >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> reorder(image, [torch.tensor([1, 0])], [torch.tensor([0, 1])]).flatten()
    tensor([2., 3., 0., 1.])
    """
    triples = zip(images, rows, columns, strict=True)
    return torch.stack([image[:, r.to(image.device)][:, :, c.to(image.device)] for image, r, c in triples])


def lower_resolution(images: Tensor, shares: Sequence[float]) -> Tensor:
    """Shrink each image (N, 3, H, W) to a share of its sides, antialiased, and enlarge it again, bilinearly.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.equal(lower_resolution(images, [1.0, 0.5])[0], images[0])
    True
    """
    pairs = zip(images[:, None], shares, strict=True)
    return torch.cat([image if share == 1 else _shrink_and_enlarge(image, share) for image, share in pairs])


def _shrink_and_enlarge(image: Tensor, share: float) -> Tensor:
    height, width = image.shape[-2:]
    size = [max(1, round(share * height)), max(1, round(share * width))]
    small = F.interpolate(image, size, mode="bilinear", antialias=True)
    return F.interpolate(small, (height, width), mode="bilinear")


def apply(images: Tensor, transforms: Sequence[Tensor], brightness: Sequence[float]) -> Tensor:
    """Transform images (N, 3, H, W) bilinearly, each by its own map (2, 3) and factor; black where there is no image.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.allclose(apply(images, [torch.eye(2, 3)] * 2, [1.0, 1.0]), images, atol=1e-5)
    True
    """
    grid = F.affine_grid(torch.stack(list(transforms)).to(images), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved * per_image(images.new_tensor(brightness))


def _uniform(random: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=random))


def _scaling(scale: float, x: float, y: float) -> Tensor:
    return torch.tensor([[scale, 0.0, x], [0.0, scale, y]])
