import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from edgefool.errors import UsageError
from edgefool.filters import enhance_details, l0_smooth


def random_images(shape=(2, 3, 12, 10), dtype=torch.float64, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def enhance_with_scikit_image(image, structure, literal):
    """Eq. 7 in NumPy on (H, W, 3)."""

    def f(a, b):
        value = 1 / (1 + np.exp(-a * b)) - 0.5
        return value if literal else value / (2 / (1 + np.exp(-b / 2)) - 1)

    lab, smooth = rgb2lab(image), rgb2lab(structure)[..., 0]
    details = lab[..., 0] - smooth
    lab[..., 0] = f((smooth - 56) / 100, 1) * 100 + 56 + f(details / 100, 15) * 100
    return lab2rgb(lab)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")
@pytest.mark.parametrize("literal", [False, True])
def test_equals_eq_7_with_scikit_image(literal):
    images, structure = random_images(), random_images(seed=1) * 0.2 + 0.4
    ours = enhance_details(images, structure, literal=literal)
    for image, smooth, enhanced in zip(images, structure, ours, strict=True):
        arrays = [tensor.permute(1, 2, 0).numpy() for tensor in (image, smooth)]
        expected = np.clip(enhance_with_scikit_image(*arrays, literal), 0, 1)
        np.testing.assert_allclose(enhanced.permute(1, 2, 0).numpy(), expected, atol=2e-3)


def test_keeps_a_and_b_where_nothing_is_clipped():
    images = random_images() * 0.2 + 0.4
    structure = images.mean((2, 3), keepdim=True).expand_as(images) * 0.9 + images * 0.1
    enhanced = enhance_details(images, structure)
    free = ((enhanced > 0) & (enhanced < 1)).all(1)
    assert free.float().mean() > 0.5
    for before, after, kept in zip(images, enhanced, free, strict=True):
        ab = [rgb2lab(tensor.permute(1, 2, 0).numpy())[..., 1:] for tensor in (before, after)]
        np.testing.assert_allclose(ab[0][kept], ab[1][kept], atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (3, 3, 9, 5)])
def test_keeps_shape_dtype_and_range(shape, dtype):
    enhanced = enhance_details(random_images(shape, dtype), random_images(shape, dtype, 1))
    assert enhanced.shape == shape
    assert enhanced.dtype == dtype
    assert 0 <= enhanced.min() <= enhanced.max() <= 1


def test_gradient_to_the_structure():
    images = random_images((1, 3, 4, 4)) * 0.2 + 0.4
    structure = (images + 0.02 * random_images((1, 3, 4, 4), seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: enhance_details(images, s), structure, atol=1e-4)


@pytest.mark.parametrize("value", [-0.3, 0.0, 0.5, 1.0, 1.4])
def test_gradient_is_finite_at_the_ends_of_the_range(value):
    structure = torch.full((1, 3, 4, 4), value, requires_grad=True)
    for level in (0.0, 0.5, 1.0):
        enhance_details(torch.full((1, 3, 4, 4), level), structure).sum().backward()
    assert structure.grad.isfinite().all()


def test_refuses_other_shapes():
    with pytest.raises(UsageError):
        enhance_details(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))
    with pytest.raises(UsageError):
        enhance_details(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("ILSVRC2012_val_00000328", 26),
        ("ILSVRC2012_val_00002437", 26),
        ("ILSVRC2012_val_00030569", 26),
        ("Places365_val_00000702", 23),
    ],
)
def test_is_near_the_authors_images(shared, name, least):
    def read(path):
        pixels = np.asarray(Image.open(path).convert("RGB")).copy()
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255

    folder = shared / "reference" / "edgefool"
    images = read(folder / f"{name}.png")
    error = enhance_details(images, l0_smooth(images)) - read(folder / f"{name}_EdgeFool.png")
    assert -10 * torch.log10(error.square().mean()) >= least
