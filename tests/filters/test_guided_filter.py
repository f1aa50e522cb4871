import pytest
import torch

from edgefool.filters import guided_filter


def by_least_squares(images, guide, radius, eps):
    """The regression pixel by pixel, for one channel (H, W)."""
    height, width = images.shape
    output = torch.empty_like(images)
    for row in range(height):
        for column in range(width):
            window = (
                slice(max(row - radius, 0), row + radius + 1),
                slice(max(column - radius, 0), column + radius + 1),
            )
            x, y = guide[window].flatten(), images[window].flatten()
            slope = ((x - x.mean()) * (y - y.mean())).mean() / (x.var(correction=0) + eps)
            output[row, column] = slope * (guide[row, column] - x.mean()) + y.mean()
    return output


@pytest.mark.parametrize("radius", [1, 2])
def test_equals_the_regression_in_each_window(radius):
    generator = torch.Generator().manual_seed(0)
    images, guide = torch.rand(2, 1, 2, 7, 9, dtype=torch.float64, generator=generator)
    filtered = guided_filter(images, guide, radius, eps=1e-3)
    for channel in range(2):
        expected = by_least_squares(images[0, channel], guide[0, channel], radius, 1e-3)
        torch.testing.assert_close(filtered[0, channel], expected)


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    images, guide = torch.rand(2, 1, 3, 5, 5, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda x: guided_filter(x, guide, eps=1e-2), images.requires_grad_())
