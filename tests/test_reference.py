"""The reference of the site lists the public interface."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import edgefool

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOT_PUBLIC = dict.fromkeys(("memory", "plotting", "text"), "not public")
WITHOUT_PAGE = {"cli": "the command line has a page of its own"} | NOT_PUBLIC
LISTED = set(re.findall(r"automodule:: edgefool\.(\w+)", "".join(page.read_text() for page in PAGES.glob("*.md"))))


def test_every_package_has_a_page():
    packages = {module.name for module in pkgutil.iter_modules(edgefool.__path__)} - {"__main__"}
    assert packages == LISTED | WITHOUT_PAGE.keys()
    index = (PAGES / "index.md").read_text()
    assert all(f"\n{page.stem}\n" in index for page in PAGES.glob("*.md") if page.stem != "index")


def test_the_short_names_are_on_the_pages():
    public = {name for package in LISTED for name in getattr(import_module(f"edgefool.{package}"), "__all__", ())}
    assert set(edgefool.__all__) <= public
