from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgefool.attacks import NFGSM, EdgeFool
from edgefool.execution.batch_size import BatchSize, saved_bytes

CPU = torch.device("cpu")


class Net(nn.Module):
    """Keeps two activations of 4 maps each: the input of a product and its result."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        maps = self.layer(images)
        return F.relu(maps).square().mean((2, 3))


@pytest.fixture
def free(monkeypatch):
    def have(count):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=count))

    return have


def test_saved_bytes_are_those_of_the_activations():
    net, images = Net(), torch.rand(2, 3, 10, 10, requires_grad=True)
    owned = {parameter.data_ptr() for parameter in net.parameters()}
    # The images and what relu made of the maps.
    assert saved_bytes(lambda: net(images), owned) == 4 * 2 * (3 + 4) * 100
    assert saved_bytes(lambda: net(images), set()) == 4 * (2 * (3 + 4) * 100 + 12)


def test_the_batch_is_what_fits(free):
    shape = torch.Size([3, 20, 20])
    batch = BatchSize(EdgeFool(), Net().requires_grad_(False), CPU)
    need = batch.need(shape)
    assert need > EdgeFool.bytes_per_pixel * 400
    for count, expected in [(0.1, 1), (1.1, 1), (2.1, 2), (3.9, 3), (1000, 4)]:
        free(need * count / 0.8)
        assert BatchSize(EdgeFool(), Net().requires_grad_(False), CPU)(shape) == expected


def test_it_is_asked_once_for_each_shape(free):
    batch, shape = BatchSize(EdgeFool(), Net(), CPU), torch.Size([3, 20, 20])
    free(2.1 * batch.need(shape) / 0.8)
    assert batch(shape) == 2
    free(1e12)
    assert batch(shape) == 2
    assert batch(torch.Size([3, 30, 20])) == 4


def test_a_classifier_is_measured_once_for_each_shape():
    calls = []

    class Counting(Net):
        def forward(self, images):
            calls.append(images.shape)
            return super().forward(images)

    classifier = Counting()
    batch = BatchSize(EdgeFool(), classifier, CPU)
    shapes = [torch.Size([3, 20, 20]), torch.Size([3, 30, 20])]
    first = [batch(shape) for shape in shapes]
    assert [batch(shape) for shape in shapes] == first
    assert len(calls) == 2
    needs = [batch.need(shape) for shape in shapes]
    assert needs[1] == pytest.approx(1.5 * needs[0], rel=0.05)
    assert BatchSize(NFGSM(), classifier, CPU).need(shapes[0]) < needs[0]
    assert len(calls) == 2, "whatever attacks it"
