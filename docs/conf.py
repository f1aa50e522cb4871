"""Sphinx's settings for the site: `make docs` builds it without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

import edgefool

DOCS = Path(__file__).resolve().parent

project = "EdgeFool"
author = "EdgeFool contributors"
release = version = edgefool.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "inventories"]
html_theme = "furo"
html_title = f"EdgeFool {release}"
html_show_sphinx = False
html_show_copyright = False

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
default_role = "py:obj"
suppress_warnings = ["ref.python", "toc.not_included"]  # one word may name two things; decisions/README lists its pages
autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_preprocess_types = True
napoleon_type_aliases = {
    "Tensor": ":py:class:`~torch.Tensor`",
    "nn.Module": ":py:class:`~torch.nn.Module`",
    "NDArray": ":py:obj:`~numpy.typing.NDArray`",
    "array": ":py:class:`~numpy.ndarray`",
    "array_like": ":py:obj:`~numpy.typing.ArrayLike`",
    "DataFrame": ":py:class:`~pandas.DataFrame`",
    "Path": ":py:class:`~pathlib.Path`",
    "path": ":py:class:`path <pathlib.Path>`",
}

_SITES = {
    "numpy": "https://numpy.org/doc/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "pillow": "https://pillow.readthedocs.io/en/stable",
    "python": "https://docs.python.org/3",
    "torch": "https://docs.pytorch.org/docs/stable",
}
intersphinx_mapping = {name: (site, f"inventories/{name}.inv") for name, site in _SITES.items()}

sphinx_gallery_conf = {
    "examples_dirs": str(DOCS.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d+_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
}


def write_pages(app: Sphinx) -> None:
    """Make the pages of the command line, from the commands themselves, and of the files next to the folder."""
    made = DOCS / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    arguments = ["-m", "typer", "edgefool.cli.app", "utils", "docs", "--name", "edgefool"]
    command = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    (made / "commands.md").write_text(command.stdout.replace("# `edgefool`", "# Command line", 1))
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (DOCS.parent / f"{name}.md").read_text()
        for there, here in {"docs/": "../", "README.md": "../index.md", "CHANGELOG.md": "changelog.md"}.items():
            text = text.replace(f"]({there}", f"]({here}")
        (made / f"{name.lower()}.md").write_text(text)


def adapt(app: Sphinx, name: str, source: list[str]) -> None:
    """Change what Markdown means on a Git host and not here."""
    source[0] = source[0].replace("](../CONTRIBUTING.md", "](made/contributing.md").replace("```csv", "```text")


def setup(app: Sphinx) -> None:
    """Register what runs before the sources are read."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", adapt)
