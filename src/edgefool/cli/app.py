"""Commands, errors and exit codes. Commands import heavy modules only when they run."""

import inspect
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from edgefool.cli.classify import classify
from edgefool.cli.console import INTERRUPTED, err, out, warnings_as_notes
from edgefool.cli.evaluate import evaluate
from edgefool.cli.listing import show
from edgefool.cli.protect import protect
from edgefool.cli.report import check, figure, report
from edgefool.cli.run import attack, demo, run
from edgefool.cli.verify import verify
from edgefool.cli.web import web
from edgefool.errors import EdgeFoolError, UsageError
from edgefool.text import plain

app = typer.Typer(
    name="edgefool",
    help="Sharpen the details of photos so that a classifier gets them wrong (EdgeFool, ICASSP 2020).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RESUMING = ("attack", "protect", "verify", "run", "evaluate", "demo")


class _Command(TyperCommand):
    """A command that refuses empty arguments: as a path they would mean the current folder."""

    def invoke(self, ctx: Any) -> Any:
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            if "" in (value if isinstance(value, list | tuple) else [value]):
                raise UsageError(f"{parameter.opts[0]} is empty")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            resumes = self.name in _RESUMING
            err.print("stopped; finished work is kept. Repeat the command to resume." if resumes else "stopped")
            return INTERRUPTED


for command in (attack, protect, verify, web, run, evaluate, classify, demo, report, figure, check):
    # A line for each paragraph, as terminals are not as wide as this file.
    app.command(cls=_Command, help=re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or ""))(command)
app.command("list", cls=_Command)(show)

_OUTPUT_CLOSED = 128 + 13  # as a shell reports SIGPIPE
_ClickError = cast(type[Exception], typer.BadParameter.__mro__[2])  # newer versions of typer bundle their own click


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong usage, 130 interrupted, 141 output closed early."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed; the next file to be opened must not take its number
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that cannot show a τ
    try:
        code = _run(arguments)
    except (SystemExit, BrokenPipeError):  # rich and typer exit with 1 when the reader of a pipe is gone
        code = _OUTPUT_CLOSED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:  # what is left goes nowhere, or Python would complain at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = _OUTPUT_CLOSED if isinstance(error, BrokenPipeError) else code or 1
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with warnings_as_notes():
            return int(app(args=arguments, standalone_mode=False) or 0)
    except UsageError as error:
        return _fail(str(error), 2)
    except EdgeFoolError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except _ClickError as error:
        return _fail(error.format_message(), 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):  # outside of a command
        return INTERRUPTED


def _fail(message: str, code: int) -> int:
    if message:  # empty if the help was shown instead
        err.print(f"error: {plain(message)}")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"edgefool {version('edgefool')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
