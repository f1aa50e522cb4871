import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse
from scipy.sparse.linalg import spsolve

from edgefool.errors import UsageError
from edgefool.filters import l0_smooth


def differences(height, width):
    """Sparse circular forward differences along x and y of a raveled image."""
    index = np.arange(height * width).reshape(height, width)
    one = sparse.identity(height * width, format="csr")
    return [one[np.roll(index, -1, axis).ravel()] - one for axis in (1, 0)]


def l0_by_sparse_solver(image, lam, kappa, beta_max):
    """The same algorithm with SciPy's sparse direct solver in place of the FFT; image (C, H, W) in [0, 1]."""
    channels, height, width = image.shape
    original = image.reshape(channels, -1) * 255 / 256
    dx, dy = differences(height, width)
    smooth, beta = original.copy(), 2 * lam
    while beta < beta_max:
        h, v = (dx @ smooth.T).T, (dy @ smooth.T).T
        flat = (h**2 + v**2).sum(0) < lam / beta
        h[:, flat] = v[:, flat] = 0
        system = sparse.identity(height * width) + beta * (dx.T @ dx + dy.T @ dy)
        smooth = spsolve(system.tocsc(), (original + beta * (dx.T @ h.T + dy.T @ v.T).T).T).T
        beta *= kappa
    return smooth.reshape(image.shape) * 256 / 255


@pytest.mark.parametrize("size", [(12, 15), (13, 16)])
def test_equals_the_same_algorithm_with_a_sparse_solver(size):
    image = np.random.default_rng(0).random((3, *size))
    images = torch.from_numpy(image)[None]
    expected = l0_by_sparse_solver(image, 0.02, 2.0, 1e5)
    np.testing.assert_allclose(l0_smooth(images)[0].numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 9, 7), (3, 5, 16, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_shape_and_dtype(shape, dtype):
    smooth = l0_smooth(torch.rand(shape, dtype=dtype))
    assert smooth.shape == shape
    assert smooth.dtype == dtype


def test_images_of_a_batch_do_not_mix():
    images = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    together = l0_smooth(images)
    alone = torch.cat([l0_smooth(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_does_not_change_its_input():
    images = torch.rand(1, 3, 16, 16)
    before = images.clone()
    l0_smooth(images)
    assert torch.equal(images, before)


def test_flattens_texture_and_keeps_edges():
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((1, 3, 32, 32), 0.25)
    clean[..., 16:] = 0.75
    smooth = l0_smooth(clean + 0.05 * torch.randn(clean.shape, generator=generator))
    assert (smooth - clean).abs().mean() < 0.02
    assert (smooth[..., 20] - smooth[..., 10]).mean() == pytest.approx(0.5, abs=0.03)


def test_larger_lambda_leaves_fewer_edges():
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    edges = [(l0_smooth(images, lam).diff(dim=-1).abs() > 1e-2).sum() for lam in (0.005, 0.02, 0.08)]
    assert edges[0] > edges[1] > edges[2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: l0_smooth(torch.rand(3, 8, 8)),
        lambda: l0_smooth(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)),
        lambda: l0_smooth(torch.rand(1, 3, 8, 8), lam=0),
        lambda: l0_smooth(torch.rand(1, 3, 8, 8), kappa=1.0),
    ],
)
def test_refuses_bad_input(call):
    with pytest.raises(UsageError):
        call()


@pytest.mark.parametrize("name", ["ILSVRC2012_val_00000328", "ILSVRC2012_val_00002437", "ILSVRC2012_val_00030569"])
def test_gives_the_authors_images(shared, name):
    def read(path):
        return np.asarray(Image.open(path).convert("RGB"))

    folder = shared / "reference" / "edgefool"
    images = torch.from_numpy(read(folder / f"{name}.png").copy()).permute(2, 0, 1)[None].float() / 255
    ours = (l0_smooth(images)[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    error = ours - read(folder / "l0_smooth" / f"{name}.png").astype(float)
    assert np.abs(error).max() <= 1
    assert 10 * np.log10(255**2 / (error**2).mean()) >= 69
