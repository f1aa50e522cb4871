"""Two small classifiers whose weights lie beside this file."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn


def first():
    """Five classes."""
    return _load("first")


def second():
    """Five classes, by other weights."""
    return _load("second")


def _load(name):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5, bias=False))
    net[2].weight.data = load_file(Path(__file__).with_name("weights.safetensors"))[name]
    return net
