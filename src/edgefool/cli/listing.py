"""`edgefool list`."""

from dataclasses import fields
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from edgefool.cli.console import out


class Listing(StrEnum):
    """What `edgefool list` can show."""

    classifiers = "classifiers"
    datasets = "datasets"
    methods = "methods"


def show(what: Annotated[Listing, typer.Argument(help="What to list.")] = Listing.classifiers) -> None:
    """List classifiers, datasets or methods."""
    {"classifiers": _show_classifiers, "datasets": _show_datasets, "methods": _show_methods}[what]()


def _show_classifiers() -> None:
    from edgefool.classifiers import CLASSIFIERS

    table = Table("name", "trained on", "classes", "weights", "about", box=None)
    for entry in CLASSIFIERS.values():
        source = "in the package" if entry.url is None else "downloaded"
        table.add_row(entry.name, entry.dataset, str(entry.num_classes), source, f"{entry.about} ({entry.licence})")
    table.columns[0].no_wrap = True
    out.print(table)
    out.print("\nYour own: torchvision:NAME or timm:NAME with --weights FILE, or path/to/file.py:factory")


def _show_datasets() -> None:
    from edgefool.datasets import DATASETS

    for facts in DATASETS.values():
        out.print(f"{facts.kind}: {facts.about}")
        counts = f"{facts.images:,} images" if facts.images else "your images"
        counts += f", labels of {facts.classes:,} classes" if facts.classes else ""
        out.print(f"  {counts}; licence: {facts.licence}")
        out.print(f"  keys in a plan: required {', '.join(facts.needs) or 'none'}; optional {', '.join(facts.takes)}")
        out.print(f"  images: {facts.source}\n")


def _show_methods() -> None:
    from edgefool.attacks import METHODS

    table = Table("name", "field", "default", box=None)
    for name, method in METHODS.items():
        defaults = method()
        for number, field in enumerate(fields(method)):
            table.add_row(name if number == 0 else "", field.name, str(getattr(defaults, field.name)))
    out.print(table)
