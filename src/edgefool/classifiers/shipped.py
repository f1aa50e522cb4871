"""Architectures of the two small classifiers that come with the package, for trying EdgeFool offline.

`training/classifiers.py` makes their weights in `data/`, which the cards there describe.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, added to their input, which is downsampled and projected if the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.skip: nn.Module = nn.Identity()
        if (width_in, stride) != (width, 1):
            project = nn.Conv2d(width_in, width, 1, bias=False)
            self.skip = nn.Sequential(nn.AvgPool2d(stride), project, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(y)))


def shipped_resnet(num_classes: int) -> nn.Module:
    """Return an untrained residual network of six blocks.

    Parameters
    ----------
    num_classes : int
        Number of logits.

    Returns
    -------
    nn.Module
        Normalised images (N, 3, 112, 112) to logits (N, num_classes): `body`, which ends in pooled
        features (N, 192), then a linear `head`.

    >>> import torch
    >>> shipped_resnet(5).eval()(torch.zeros(2, 3, 112, 112)).shape
    torch.Size([2, 5])
    """
    body = nn.Sequential(
        *_convolution(3, 32, kernel=5, stride=2),
        nn.MaxPool2d(3, 2, 1),
        ResidualBlock(32, 48, 1),
        ResidualBlock(48, 48, 1),
        ResidualBlock(48, 96, 2),
        ResidualBlock(96, 96, 1),
        ResidualBlock(96, 192, 2),
        ResidualBlock(192, 192, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return nn.Sequential(OrderedDict(body=body, head=nn.Linear(192, num_classes)))


def shipped_alexnet(num_classes: int) -> nn.Module:
    """Return an untrained network similar to AlexNet: five convolutions, three max-poolings, dense layers.

    Parameters
    ----------
    num_classes : int
        Number of logits.

    Returns
    -------
    nn.Module
        Normalised images (N, 3, 112, 112) to logits (N, num_classes): `body`, which ends in a dense
        layer (N, 256), then a linear `head`.

    >>> import torch
    >>> shipped_alexnet(5).eval()(torch.zeros(2, 3, 112, 112)).shape
    torch.Size([2, 5])
    """
    body = nn.Sequential(
        *_convolution(3, 48, kernel=7, stride=2),
        nn.MaxPool2d(3, 2, 1),
        *_convolution(48, 96, kernel=5),
        nn.MaxPool2d(3, 2, 1),
        *_convolution(96, 192, kernel=3),
        *_convolution(192, 192, kernel=3),
        *_convolution(192, 192, kernel=3),
        nn.MaxPool2d(3, 2, 1),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(192 * 3 * 3, 256),
        nn.ReLU(),
    )
    return nn.Sequential(OrderedDict(body=body, head=nn.Linear(256, num_classes)))


def _convolution(width_in: int, width: int, *, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width), nn.ReLU()
