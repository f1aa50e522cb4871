"""Workers as Ray actors: on this machine, or on a cluster that was started by other hands."""

import math
import os
import signal
import textwrap
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from edgefool.errors import RunError, UsageError
from edgefool.execution.distributed.worker import Order, Ready, Report, Setup, Worker

# Read by Ray when it is imported: it reports its use to nobody, and what it starts listens on loopback only.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_THREADS = 4  # of an actor: one waits for results, others take orders


class Event(NamedTuple):
    """What a worker says: that it is ready, what it did, or why it is dead."""

    worker: str
    said: Ready | Report | BaseException


def import_ray(address: str) -> Any:
    """Return the module, set up for an address as of `Crew`; raise `UsageError` if it is not installed."""
    for name, value in (_QUIET if address else _QUIET | _ALONE).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError("the executor ray needs Ray: pip install 'edgefool[ray]'") from error
    return ray


class Crew:
    """Ray actors that each hold a `Worker`; enter it to connect to Ray.

    Parameters
    ----------
    address
        ``""`` starts Ray on this machine; else that of a cluster: ``HOST:PORT`` of its Ray client server, or ``auto``
        on one of its machines.
    setup
        What the workers need to know, but for what they are given each.
    workers
        How many; by default one for each GPU, or, without any, for each ``cores`` cores.
    cores
        Of the CPU, for each worker; by default 1, or with GPUs their share.

    Raises
    ------
    UsageError
        If Ray is not installed.
    RunError
        If there is no cluster at the address, it has no room for a single worker, or contact with it is lost.
    """

    def __init__(self, address: str, setup: Setup, workers: int | None = None, cores: int | None = None):
        self._ray, self._address, self._setup = import_ray(address), address, setup
        self._wanted, self._wanted_cores = workers, cores
        self._actors: dict[str, Any] = {}
        self._names = count(1)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            self._connect()
        try:
            self.size, self._setup = self._share_out()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._actors):
            self.dismiss(name)
        self._undo.close()

    def hire(self) -> str:
        """Have one more worker started, which says when it is ready; return its name."""
        name = f"worker {next(self._names)}"
        remote = self._ray.remote(_Actor).options(
            num_cpus=self._setup.cores, num_gpus=self._setup.gpus, max_concurrency=_THREADS, max_restarts=0
        )
        with self._contact():
            self._actors[name] = remote.remote()
            self._listen(name, self._actors[name].begin.remote(self._setup))
        return name

    def give(self, name: str, orders: Sequence[Order]) -> None:
        """Hand orders to a worker; if it is dead, an event says so."""
        with self._contact():
            self._listen(name, self._actors[name].give.remote(orders), only_errors=True)

    def ask(self, name: str) -> None:
        """Have a worker report what it has done as soon as there is anything."""
        with self._contact():
            self._listen(name, self._actors[name].take.remote())

    def dismiss(self, name: str) -> None:
        """Let a worker go, dead or alive; events of it may still come."""
        with suppress(Exception):  # without contact it is Ray who ends it
            self._ray.kill(self._actors.pop(name))

    def events(self, timeout: float) -> list[Event]:
        """Return what workers said, after waiting for it as many seconds at most."""
        events: list[Event] = []
        with suppress(Empty):
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        return events

    def _share_out(self) -> tuple[int, Setup]:
        """Return how many workers there will be, and what each gets."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        with_gpus = [node for node in nodes if node.get("GPU")] if self._setup.device != "cpu" else []
        if self._setup.device == "cuda" and not with_gpus:
            raise RunError("there is no GPU for the workers; leave --device cuda out")
        if with_gpus:
            gpus = int(sum(node["GPU"] for node in with_gpus))
            size = self._wanted or gpus
            each = math.ceil(size / gpus)  # on each GPU
            fair = min(int(node.get("CPU", 0) // (node["GPU"] * each)) for node in with_gpus)
            cores, share, device = self._wanted_cores or max(1, fair), 1 / each, "cuda"
        else:
            cores, share, device = self._wanted_cores or 1, 0.0, "cpu"
            size = self._wanted or int(sum(node.get("CPU", 0) // cores for node in nodes))
        most = max((node.get("CPU", 0) for node in with_gpus or nodes), default=0)
        if size < 1 or cores > most:
            raise RunError(f"a worker of {cores} CPU cores finds no room: machines have up to {most:g}")
        return size, replace(self._setup, device=device, cores=cores, gpus=share)

    def _connect(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not self._address:
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": 2**27}
            if self._wanted:  # all that were asked for can start
                options["num_cpus"] = max(os.cpu_count() or 1, self._wanted * (self._wanted_cores or 1))
        else:
            options |= {"address": "auto" if self._address == "auto" else f"ray://{self._address}"}
        before = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the error says it all
                self._ray.init(**options)
            if threading.current_thread() is threading.main_thread():  # Ray has put its own, which is no good end
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                self._undo.callback(signal.signal, signal.SIGTERM, before)
            self._undo.callback(self._ray.shutdown)
        except Exception as error:  # ConnectionError, ValueError, RuntimeError
            told = str(error).partition("\n")[0]
            raise RunError(f"cannot reach Ray at {self._address or 'this machine'}: {told}") from error

    @contextmanager
    def _contact(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # ConnectionError, RuntimeError, ray.exceptions.RayError
            told = str(error).partition("\n")[0]
            raise RunError(f"contact with Ray is lost: {told}; what is done is kept, repeat the command") from error

    def _listen(self, name: str, promise: Any, *, only_errors: bool = False) -> None:
        def hear(future: Any) -> None:
            try:
                said = future.result()
            except BaseException as error:  # also where it was cancelled
                self._events.put(Event(name, _cause(error)))
            else:
                if not only_errors:
                    self._events.put(Event(name, said))

        promise.future().add_done_callback(hear)


class _Actor:
    """A `Worker` in a Ray actor."""

    def begin(self, setup: Setup) -> Ready:
        self._worker = Worker(setup)
        return self._worker.ready

    def give(self, orders: Sequence[Order]) -> None:
        self._worker.give(orders)

    def take(self) -> Report:
        return self._worker.take()


def _cause(error: BaseException) -> BaseException:
    """Return what was raised in the actor, where Ray wraps it, or why the actor is dead in a line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "because" in line), lines[0] if lines else type(error).__name__)
    return RuntimeError(textwrap.shorten(told, 200))
