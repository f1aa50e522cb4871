"""The command line: a thin skin over the package, and the only place that knows the names of options."""

from edgefool.cli.app import main

__all__ = ["main"]
