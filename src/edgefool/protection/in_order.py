"""Work in threads that share the cores, with the results in the order of the work."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def threads_for(count: int, *, on_cpu: bool) -> int:
    """Return how many of some items to work on at a time: as many as there are cores, on a GPU one."""
    return max(1, min(torch.get_num_threads(), count)) if on_cpu else 1


def map_in_order(
    function: Callable[[T, Callable[[], None]], R],
    items: Iterable[T],
    threads: int,
    *,
    size: Callable[[T], int],
    room: int,
) -> Iterator[R]:
    """Apply a function to items in threads; yield the results in their order.

    Torch uses an equal share of the caller's cores in each thread.

    Parameters
    ----------
    function
        Gets an item, and a function to call often: it raises `CancelledError` when nobody waits for results any more.
    items
        Taken one by one, in the caller's thread, at most ``2 threads`` ahead of the results.
    threads
        How many items are worked on at a time; with 1 the caller's thread does the work, which is faster.
    size, room
        Of an item, and how much all items that were taken may have together; one is always taken.

    Examples
    --------
    >>> list(map_in_order(lambda item, _: item**2, [1, 2, 3], threads=2, size=lambda _: 1, room=3))
    [1, 4, 9]
    """
    cores, stopped = torch.get_num_threads(), Event()

    def watch() -> None:
        if stopped.is_set():
            raise CancelledError

    if threads == 1:
        yield from (function(item, watch) for item in items)
        return
    pending = deque[tuple[int, Future[R]]]()
    pool = ThreadPoolExecutor(
        threads, "edgefool", initializer=torch.set_num_threads, initargs=(max(1, cores // threads),)
    )
    try:
        for item in items:
            needed = size(item)
            while pending and (len(pending) == 2 * threads or sum(used for used, _ in pending) + needed > room):
                yield pending.popleft()[1].result()
            pending.append((needed, pool.submit(function, item, watch)))
            del item
        while pending:
            yield pending.popleft()[1].result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # for threads that start later
