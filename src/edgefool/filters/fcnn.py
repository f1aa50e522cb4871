"""The fully convolutional network of Sec. 3 that learns the structure I_s: one set of weights per image."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

MAPS = 24
DILATIONS = (1, 2, 4, 8, 16, 32, 1)  # of the 3x3 convolutions; a 1x1 convolution follows
SLOPE = 0.2  # of the leaky ReLU
EPSILON = 1e-3  # of the normalisation


class _Convolution(nn.Conv2d):
    """A convolution that `FCNN` initialises, from its own generator; `skip_init` would import sympy, which is slow."""

    def reset_parameters(self) -> None:
        """Leave torch's random numbers alone."""


class AdaptiveNorm(nn.Module):
    """w0 · x + w1 · norm(x); initially x itself.

    The paper uses batch normalisation of one image at a time: the mean and variance of each map of each image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.w0 = nn.Parameter(torch.ones(1))
        self.w1 = nn.Parameter(torch.zeros(1))
        self.norm = nn.InstanceNorm2d(MAPS, eps=EPSILON, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape (N, MAPS, H, W)."""
        normalised: Tensor = self.w0 * x + self.w1 * self.norm(x)
        return normalised


class FCNN(nn.Sequential):
    """The network of Sec. 3: images (N, 3, H, W), RGB in [0, 1], to their structures I_s, (N, 3, H, W), unclipped.

    Seven 3x3 convolutions of 24 maps, dilated by 1, 2, 4, 8, 16, 32 and 1, each with adaptive normalisation and a leaky
    ReLU; then a 1x1 convolution. As in the authors' code, the 3x3 convolutions start with identity kernels,
    and the last convolution is Xavier-uniform.

    Parameters
    ----------
    seed : int
        Seed of the last convolution's weights.

    Examples
    --------
    >>> FCNN()(torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, seed: int = 0):
        layers: list[nn.Module] = []
        for index, dilation in enumerate(DILATIONS):
            channels = 3 if index == 0 else MAPS
            convolution = _Convolution(channels, MAPS, 3, padding=dilation, dilation=dilation, bias=False)
            nn.init.dirac_(convolution.weight)
            layers += [convolution, AdaptiveNorm(), nn.LeakyReLU(SLOPE)]
        last = _Convolution(MAPS, 3, 1)
        nn.init.xavier_uniform_(last.weight, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(last.get_parameter("bias"))
        super().__init__(*layers, last)


# For each layer: kernel, w0, w1, gain and bias of the normalisation; then kernel and bias of the last convolution.
_SHAPES = tuple(parameter.shape for parameter in FCNN().parameters())
KERNELS = tuple(tuple(shape) for shape in _SHAPES if shape[2:] == (3, 3))
PARAMETERS = sum(math.prod(shape) for shape in _SHAPES)


def identity_parameters(seed: int) -> Tensor:
    """Return the authors' initial parameters of `FCNN` for one image as a row (P,), P = `PARAMETERS` = 32,177."""
    return parameters_to_vector(FCNN(seed).parameters()).detach()


def split_parameters(parameters: Tensor) -> Iterator[Tensor]:
    """Split rows (N, P) into the parameters of `FCNN`, in its order, each flat: (N, size)."""
    return iter(torch.split(parameters, [math.prod(shape) for shape in _SHAPES], 1))


def is_kernel(piece: Tensor) -> bool:
    """Return whether a piece of `split_parameters` is a 3x3 kernel, by its size."""
    return piece.shape[1] > MAPS * MAPS
