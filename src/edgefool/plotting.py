"""matplotlib, importable whatever ``MPLBACKEND`` says, and in one style whatever the user's settings are.

Jupyter names its backend in that variable, also for programs of other environments, where matplotlib's import fails
because the backend is missing. Our figures are drawn without a backend.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_backend = os.environ.pop("MPLBACKEND", "")
import matplotlib.style  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

if _backend:
    os.environ["MPLBACKEND"] = _backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend

__all__ = ["Axes", "Figure", "Line2D", "default_style"]

# Reproducible files; PDFs embed TrueType fonts, as publishers require.
_STYLE = {"svg.hashsalt": "edgefool", "pdf.fonttype": 42}


@contextmanager
def default_style(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw with matplotlib's defaults, the settings of our files and these changes; a context and a decorator."""
    with matplotlib.style.context([_STYLE, dict(changes or {})], after_reset=True):
        yield
