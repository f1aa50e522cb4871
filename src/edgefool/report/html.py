"""Self-contained pages from the templates of this package."""

import hashlib
from base64 import b64encode
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgefool.text import plain


def base_style() -> str:
    """Return the style of all pages: their colours, light and dark, and their plain elements."""
    return _source("base.css")


def render_page(template: str, **facts: object) -> str:
    """Return a page that needs no other file for its style and script.

    Parameters
    ----------
    template
        Name of the template, without suffix, and of its style and script. The style follows that of all pages.
    facts
        What the template shows. Text is escaped.
    """
    environment = Environment(
        loader=PackageLoader("edgefool.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    style, script = base_style() + _source(f"{template}.css"), _source(f"{template}.js")
    return environment.get_template(f"{template}.html").render(
        style=Markup(style),  # noqa: S704  # our own files, with hashes in the page's policy
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=version("edgefool"),
        **facts,
    )


def _source(file: str) -> str:
    return files("edgefool.report").joinpath("templates", file).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
