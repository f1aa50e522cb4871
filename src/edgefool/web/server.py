"""The server: on this machine's loopback address, with a temporary folder that is deleted at the end."""

import errno
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from edgefool.errors import RunError
from edgefool.web.app import make_app
from edgefool.web.engine import Engine
from edgefool.web.jobs import Jobs

HOST = "127.0.0.1"


def serve(engine: Engine, port: int = 0, *, ready: Callable[[str], None], reword: Callable[[str], str] = str) -> bool:
    """Serve the page until Ctrl-C or SIGTERM; call it in the main thread.

    Photos are kept in a temporary folder of this user, which is deleted at the end.

    Parameters
    ----------
    engine
        What is done with photos.
    port
        Of the loopback address 127.0.0.1; 0: any free one.
    ready
        Called with the page's address once a browser can open it.
    reword
        As in `edgefool.web.Jobs`.

    Returns
    -------
    bool
        Whether a thread is still in the middle of something, such as writing a large photo. Python would abort at its
        end; leave by `os._exit` instead.

    Raises
    ------
    RunError
        If the port is not free.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs = None
    try:
        with (
            closing(_listen(port)) as listener,
            TemporaryDirectory(prefix="edgefool-web-", ignore_cleanup_errors=True) as folder,
            Jobs(engine.run, Path(folder), reword=reword) as jobs,
        ):
            config = uvicorn.Config(
                make_app(engine, jobs),
                lifespan="off",
                ws="none",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
            ready(f"http://{HOST}:{listener.getsockname()[1]}")
            uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    return jobs is not None and jobs.is_working


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "is in use by another program" if in_use else f"cannot be used: {getattr(error, 'strerror', error)}"
        raise RunError(f"port {port} {reason}; use 0 for a free one") from error
