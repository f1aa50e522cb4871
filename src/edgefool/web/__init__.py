"""A page on which a person changes one photo, served to this machine alone; `serve` is ``edgefool web``."""

from edgefool.errors import UsageError

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise UsageError("the page for a photo needs Starlette and uvicorn: pip install 'edgefool[web]'") from error

from edgefool.web.app import make_app
from edgefool.web.engine import Engine
from edgefool.web.jobs import Jobs
from edgefool.web.server import serve

__all__ = ["Engine", "Jobs", "make_app", "serve"]
