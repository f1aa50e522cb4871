import pytest
import torch
from skimage import data
from torch.nn import functional as F

from edgefool.filters import fcnn, l0_smooth
from edgefool.filters.fcnn import PARAMETERS
from edgefool.filters.smoother import smoother_parameters


@pytest.mark.parametrize("photo", [data.chelsea, data.coffee, data.astronaut])
def test_it_smooths_like_the_l0_filter(photo):
    image = torch.from_numpy(photo().copy()).permute(2, 0, 1)[None].float() / 255
    image = F.interpolate(image, (224, 224), mode="bilinear", antialias=True)
    target = l0_smooth(image)
    error = F.mse_loss(fcnn(smoother_parameters()[None], image), target)
    assert error < 1.5e-3
    assert error < 0.7 * F.mse_loss(image, target)


def test_callers_cannot_change_it():
    first = smoother_parameters()
    assert first.shape == (PARAMETERS,)
    first.zero_()
    assert smoother_parameters().abs().max() > 0
