"""`edgefool list`."""

from dataclasses import fields
from typing import Annotated, Literal

import typer
from rich.table import Table

from edgefool.cli.console import out


def show(
    what: Annotated[
        Literal["classifiers", "datasets", "methods"], typer.Argument(help="What to list.")
    ] = "classifiers",
) -> None:
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
    out.print(
        "\nOnline: torchvision:NAME[.WEIGHTS], timm:NAME[.TAG], hf-hub:OWNER/MODEL or clip:MODEL/TAG", markup=False
    )
    out.print("Your own: torchvision:NAME@CHECKPOINT, timm:NAME@CHECKPOINT, NAME@CHECKPOINT or path/to/file.py:factory")


def _show_datasets() -> None:
    from edgefool.datasets import DATASETS

    for info in DATASETS.values():
        out.print(f"{info.kind}: {info.about}")
        counts = f"{info.images:,} images" if info.images else "your images"
        counts += f", labels of {info.classes:,} classes" if info.classes else ""
        out.print(f"  {counts}; licence: {info.licence}")
        out.print(f"  keys in a plan: required {', '.join(info.needs) or 'none'}; optional {', '.join(info.takes)}")
        out.print(f"  images: {info.source}\n")


def _show_methods() -> None:
    from edgefool.adapters import LIBRARIES
    from edgefool.attacks import METHODS

    table = Table("name", "field", "default", box=None)
    for name, method in METHODS.items():
        defaults = method()
        for number, field in enumerate(fields(method)):
            table.add_row(name if number == 0 else "", field.name, str(getattr(defaults, field.name)))
    out.print(table)
    out.print("\nAttacks of other libraries, by the names they have there and with their arguments as fields:")
    for prefix, library in LIBRARIES.items():
        version = library.version()
        installed = f"{library.package} {version}" if version else f"pip install {library.package}"
        out.print(f"  {prefix}:NAME ({installed})", markup=False, highlight=False)
