"""Faces of scikit-image's own photos are found, in any skin colour and in grey, and other photos have none."""

import pytest
import skimage.data
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from edgefool.filters import face_mask
from edgefool.images import resize_image

FACE, ELSEWHERE = (slice(80, 125), slice(180, 212)), (slice(300, 448), slice(0, 448))


def photo(name: str) -> Tensor:
    """Return a photo of scikit-image, (3, 448, 448)."""
    pixels = torch.from_numpy(getattr(skimage.data, name)())
    return resize_image(pixels.permute(2, 0, 1) / 255, 448).clamp(0, 1)


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    return photo("astronaut")


def recoloured(image: Tensor, lightness: float = 1.0, a: float = 1.0, b: float = 1.0) -> Tensor:
    """Return an image whose L*, a* and b* are multiplied."""
    lab: Tensor = rgb_to_lab(image[None]) * torch.tensor([lightness, a, b])[:, None, None]
    return lab_to_rgb(lab)[0]


@pytest.mark.parametrize(
    ("lightness", "a", "b"),
    [(1, 1, 1), (0.7, 1, 1), (0.45, 0.8, 0.8), (1, 1.8, 1), (1, 0, 0)],
    ids=["as it is", "brown", "dark", "red", "grey"],
)
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_face_is_found(portrait, lightness, a, b, is_mirrored):
    image = recoloured(portrait, lightness, a, b)
    mask = face_mask((image.flip(2) if is_mirrored else image)[None])[0, 0]
    mask = mask.flip(1) if is_mirrored else mask
    assert mask[FACE].min() > 0.9
    assert mask[ELSEWHERE].mean() < 0.1  # two badges are taken for faces where there are no colours
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_a_blue_face_is_taken_for_something_else(portrait):
    assert not face_mask(recoloured(portrait, a=-0.3, b=-1)[None]).any()


@pytest.mark.parametrize("name", ["coffee", "rocket"])
def test_photos_without_faces(name):
    assert not face_mask(photo(name)[None]).any()


def test_each_image_of_a_batch_has_its_own_faces(portrait):
    masks = face_mask(torch.stack([photo("coffee"), portrait, portrait.flip(2)]))
    assert not masks[0].any()
    assert torch.equal(masks[1:2], face_mask(portrait[None]))
    assert masks[2, 0].flip(1)[FACE].min() > 0.9


def test_any_float_type(portrait):
    images = torch.stack([photo("coffee"), portrait])
    found, expected = face_mask(images.double().requires_grad_()), face_mask(images)
    assert (found.dtype, found.requires_grad) == (torch.float64, False)
    torch.testing.assert_close(found.float(), expected)


@pytest.mark.parametrize("shape", [(16, 16), (23, 300), (300, 23), (24, 24), (200, 24)])
def test_any_size(shape):
    mask = face_mask(torch.rand(2, 3, *shape, dtype=torch.float64))
    assert mask.shape == (2, 1, *shape)
    assert mask.dtype == torch.float64
