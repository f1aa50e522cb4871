"""Global random numbers, seeded for as long as another library draws from them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and afterwards put them back as they were.

    >>> with seeded(7, torch.device("cpu")):
    ...     first = torch.rand(3), np.random.rand(), random.random()
    >>> with seeded(7, torch.device("cpu")):
    ...     bool((torch.rand(3) == first[0]).all()), (np.random.rand(), random.random()) == first[1:]
    (True, True)
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
