"""What a GPU does beside a CPU. `make test-gpu` runs it, with EDGEFOOL_TEST_DEVICE=cpu as a dry run."""

import os

import pytest
import torch

from edgefool.classifiers import load_classifier
from edgefool.datasets import demo_photo
from edgefool.images import resize_image


@pytest.fixture(scope="session")
def device():
    """Return the device under test, or skip."""
    found = torch.device(os.environ.get("EDGEFOOL_TEST_DEVICE", "cuda"))
    if found.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU at hand")
    return found


@pytest.fixture(scope="session")
def photos():
    """Return three photos, (3, 3, 112, 112)."""
    return torch.stack([resize_image(demo_photo(name), 112) for name in ("cat", "coffee", "flower")])


@pytest.fixture(scope="session")
def networks(device):
    """Return EfficientNet-Lite0 on the CPU and on the device."""
    return load_classifier("efficientnet-lite0"), load_classifier("efficientnet-lite0", device=device)
