"""How many images to attack at a time."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from edgefool.attacks import Attack
from edgefool.classifiers import member_logits
from edgefool.memory import free_memory

MAX_BATCH = {"cpu": 4, "cuda": 128}
"""By type of device. Larger batches are no faster: one image keeps the cores of a CPU busy, 128 keep a GPU busy."""

_activations: WeakKeyDictionary[nn.Module, dict[tuple[torch.Size, torch.device], int]] = WeakKeyDictionary()


class BatchSize:
    """Chooses the batch size for each image shape by the memory that is free at its first call.

    Parameters
    ----------
    attack, classifier
        The attack, and the classifier that it attacks.
    device
        The classifier's device.
    share
        Share of the free memory that may be used.
    """

    def __init__(self, attack: Attack, classifier: nn.Module, device: torch.device, share: float = 1.0):
        self._attack, self._classifier, self._device, self._share = attack, classifier, device, share
        self._known: dict[torch.Size, int] = {}

    def __call__(self, shape: torch.Size) -> int:
        """Return how many images (3, H, W) fit, at least 1."""
        if shape not in self._known:
            fitting = free_memory(self._device, self._share) // self.need(shape)
            self._known[shape] = max(1, min(fitting, MAX_BATCH.get(self._device.type, 1)))
        return self._known[shape]

    def need(self, shape: torch.Size) -> int:
        """Return roughly the bytes that one image (3, H, W) needs, measured by a forward pass of the classifier.

        Each classifier is measured once for each shape, whatever attacks it.
        """
        known = _activations.setdefault(self._classifier, {})
        if (shape, self._device) not in known:
            image = torch.zeros(1, *shape, device=self._device, requires_grad=True)
            owned = {tensor.untyped_storage().data_ptr() for tensor in self._classifier.state_dict().values()}
            known[shape, self._device] = saved_bytes(lambda: member_logits(self._classifier, image), owned)
        return int(1.2 * known[shape, self._device]) + self._attack.bytes_per_pixel * shape[1] * shape[2]


def saved_bytes(function: Callable[[], object], owned: set[int]) -> int:
    """Return the bytes that a forward pass keeps for its backward pass, without the storages ``owned``."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = function()  # kept alive, so that no storage reuses the address of another
    del result
    return sum(size for pointer, size in storages.items() if pointer not in owned)
