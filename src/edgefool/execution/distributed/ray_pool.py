"""Workers as Ray actors, on this machine or on a cluster that is running already."""

import math
import os
import signal
import textwrap
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Self

from edgefool.errors import RunError, UsageError
from edgefool.execution.distributed.driver import WorkerEvent
from edgefool.execution.distributed.work_queue import WorkItem
from edgefool.execution.distributed.worker import Worker, WorkerConfig, WorkerReady, WorkerReport
from edgefool.execution.state import RunState

# Environment variables that Ray reads at import: no usage reports, and its servers listen on loopback only.
_NO_USAGE_REPORTS = {"RAY_USAGE_STATS_ENABLED": "0"}
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_THREADS = 4  # of an actor: one waits for results, others accept work items


def import_ray(address: str) -> Any:
    """Return Ray, set up for an address as in `RayWorkerPool`; raise `UsageError` if it is not installed."""
    for name, value in (_NO_USAGE_REPORTS if address else _NO_USAGE_REPORTS | _LOOPBACK_ONLY).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError("the executor ray needs Ray: pip install 'edgefool[ray]'") from error
    return ray


class RayWorkerPool:
    """Ray actors that each hold a `Worker`; enter it to connect to Ray.

    Parameters
    ----------
    address
        ``""`` starts Ray on this machine. For a cluster, ``HOST:PORT`` of its Ray client server, or ``auto`` on one of
        its machines.
    config
        The configuration of the workers; the pool sets the cores and the share of a GPU of each.
    workers
        How many; by default one for each GPU or, without GPUs, for each ``cores`` cores.
    cores
        CPU cores of each worker; by default 1, or with GPUs its share of them.

    Raises
    ------
    UsageError
        If Ray is not installed.
    RunError
        If there is no cluster at the address, it has no room for a single worker, or the connection is lost.
    """

    def __init__(self, address: str, config: WorkerConfig, workers: int | None = None, cores: int | None = None):
        self._ray, self._address, self._config = import_ray(address), address, config
        self._wanted, self._wanted_cores = workers, cores
        self._actors: dict[str, Any] = {}
        self._names = count(1)
        self._events: SimpleQueue[WorkerEvent] = SimpleQueue()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with self._undo:  # disconnects if this fails
            if not self._ray.is_initialized():
                self._connect()
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self.size, self._config = share_out(nodes, self._config, self._wanted, self._wanted_cores)
            self._undo = self._undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._actors):
            self.stop(name)
        self._undo.close()

    def start(self) -> str:
        """Start one more worker and return its name; an event follows when it is ready."""
        name = f"worker {next(self._names)}"
        remote = self._ray.remote(_Actor).options(
            num_cpus=self._config.cores, num_gpus=self._config.gpus, max_concurrency=_THREADS, max_restarts=0
        )
        with self._contact():
            self._actors[name] = remote.remote()
            self._listen(name, self._actors[name].start.remote(self._config))
        return name

    def submit(self, name: str, items: Sequence[WorkItem]) -> None:
        """Send work items to a worker; if it is dead, an event says so."""
        with self._contact():
            self._listen(name, self._actors[name].submit.remote(items), only_errors=True)

    def poll(self, name: str) -> None:
        """Ask a worker for a report, which follows as an event as soon as it has results."""
        with self._contact():
            self._listen(name, self._actors[name].poll.remote())

    def stop(self, name: str) -> None:
        """Stop a worker, dead or alive; events of it may still come."""
        with suppress(Exception):  # Ray ends a worker that has lost its connection
            self._ray.kill(self._actors.pop(name))

    def events(self, timeout: float) -> list[WorkerEvent]:
        """Return the new events, after waiting for ``timeout`` seconds at most."""
        events: list[WorkerEvent] = []
        with suppress(Empty):
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        return events

    def _connect(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not self._address:
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": 2**27}
            if self._wanted:  # all of them can start
                options["num_cpus"] = max(os.cpu_count() or 1, self._wanted * (self._wanted_cores or 1))
        else:
            options |= {"address": "auto" if self._address == "auto" else f"ray://{self._address}"}
        before = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the error says the same
                self._ray.init(**options)
            if threading.current_thread() is threading.main_thread():  # Ray's own handler would exit at once
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                self._undo.callback(signal.signal, signal.SIGTERM, before)
            self._undo.callback(self._ray.shutdown)
        except Exception as error:  # ConnectionError, ValueError, RuntimeError
            where, reason = self._address or "this machine", str(error).partition("\n")[0]
            raise RunError(f"cannot reach Ray at {where}: {reason}") from error

    @contextmanager
    def _contact(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # ConnectionError, RuntimeError, ray.exceptions.RayError
            reason = str(error).partition("\n")[0]
            raise RunError(f"contact with Ray is lost: {reason}; finished work is kept, repeat the command") from error

    def _listen(self, name: str, promise: Any, *, only_errors: bool = False) -> None:
        def put_event(future: Any) -> None:
            try:
                content = future.result()
            except BaseException as error:  # also where it was cancelled
                self._events.put(WorkerEvent(name, _cause(error)))
            else:
                if not only_errors:
                    self._events.put(WorkerEvent(name, content))

        promise.future().add_done_callback(put_event)


def share_out(
    nodes: Sequence[Mapping[str, float]], config: WorkerConfig, workers: int | None, cores: int | None
) -> tuple[int, WorkerConfig]:
    """Return the number of workers for nodes with these resources ("CPU", "GPU"), and the configuration of each.

    Raises
    ------
    RunError
        If there is no room for a single worker.
    """
    with_gpus = [node for node in nodes if node.get("GPU")] if config.device != "cpu" else []
    if config.device == "cuda" and not with_gpus:
        raise RunError("there is no GPU for the workers; the device must be cpu or auto")
    if with_gpus:
        gpus = int(sum(node["GPU"] for node in with_gpus))
        size = workers or gpus
        on_each = math.ceil(size / gpus)
        fair = min(int(node.get("CPU", 0) // (node["GPU"] * on_each)) for node in with_gpus)
        cores, share, device = cores or max(1, fair), 1 / on_each, "cuda"
    else:
        cores, share, device = cores or 1, 0.0, "cpu"
        size = workers or int(sum(node.get("CPU", 0) // cores for node in nodes))
    most = max((node.get("CPU", 0) for node in with_gpus or nodes), default=0)
    if size < 1 or cores > most:
        raise RunError(f"there is no room for a worker of {cores} CPU cores: machines have up to {most:g}")
    return size, replace(config, device=device, cores=cores, gpus=share)


def make_ray_pool(
    state: RunState,
    address: str = "",
    *,
    workers: int | None = None,
    cores: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> RayWorkerPool:
    """Return Ray workers for a run.

    Parameters
    ----------
    state
        The run, open in this process; the process needs no GPU.
    address, workers, cores
        As for `RayWorkerPool`.
    device
        "cpu", "cuda", or "auto": GPUs where there are any.
    batch_size
        As for `run_local`.

    Raises
    ------
    UsageError
        If Ray is not installed.
    """
    cells = {cell.folder: cell.job.cell for cell in state.cells}
    run = state.run
    config = WorkerConfig(state.experiment.plan, cells, run.path.resolve(), run.owner(), batch_size, device)
    return RayWorkerPool(address, config, workers, cores)


class _Actor:
    """A `Worker` in a Ray actor."""

    def start(self, config: WorkerConfig) -> WorkerReady:
        self._worker = Worker(config)
        return self._worker.ready

    def submit(self, items: Sequence[WorkItem]) -> None:
        self._worker.submit(items)

    def poll(self) -> WorkerReport:
        return self._worker.poll()


def _cause(error: BaseException) -> BaseException:
    """Return the exception of the actor if Ray wraps one, else one with a line that says why the actor died."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "because" in line), lines[0] if lines else type(error).__name__)
    return RuntimeError(textwrap.shorten(reason, 200))
