"""Times functions in turns, so that a machine whose speed drifts does not favour one of them."""

import time
from collections.abc import Callable
from statistics import median


def in_turns(*functions: Callable[[], object], rounds: int = 11) -> list[float]:
    """Return the median seconds of each function over ``rounds`` rounds, after one that is not counted."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:
                taken.append(time.perf_counter() - start)
    return [median(taken) for taken in times]
