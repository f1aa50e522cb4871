"""The page of a verification, opened in a real browser."""

import csv

import pytest

import edgefool
from edgefool.classifiers import load_classifier

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def page(tmp_path_factory, make_photo, classifier_source):
    """Return the page about three photos, one of which has markup for a name, and about a file that is no photo."""
    folder = tmp_path_factory.mktemp("verified")
    (folder / "classifier.py").write_text(classifier_source)
    for place, first in (("in", 0), ("out", 10)):
        for seed, name in enumerate(["one.png", "two.png", HOSTILE]):
            make_photo(folder / place / name, first + seed, 90, 60)
        (folder / place / "broken <b>.png").write_bytes(b"no photo")
    classifiers = [load_classifier(f"{folder / 'classifier.py'}:{name}") for name in ("factory", "other")]
    classifiers[0].name = "first <i>"
    return edgefool.verify(folder / "in", folder / "out", classifiers).page


def test_names_with_markup_are_text(page, visit):
    opened = visit(page)
    assert HOSTILE in opened.inner_text("#photos")
    assert "first <i>" in opened.inner_text("#rates")
    assert "broken <b>.png" in opened.inner_text(".failure")
    assert opened.evaluate("document.querySelectorAll('img[onerror], main i, main b').length") == 0


def test_both_pictures_are_shown_and_wiped(page, visit):
    opened = visit(page)
    assert opened.locator(".photo").count() == 3
    widths = opened.evaluate("[...document.querySelectorAll('.pair img')].map((image) => image.naturalWidth)")
    assert widths == [90] * 6
    opened.locator(".pair input").first.focus()
    opened.keyboard.press("Home")
    clip = "getComputedStyle(document.querySelector('.after')).clipPath"
    assert opened.evaluate(clip) == "inset(0px 0px 0px 0%)"
    for _ in range(30):
        opened.keyboard.press("ArrowRight")
    assert opened.evaluate(clip) == "inset(0px 0px 0px 30%)"


def test_photos_are_filtered(page, visit):
    with (page.parent / "verification.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["version"] == "file"]
    opened = visit(page)
    for value, said in (("kept", "False"), ("changed", "True")):
        expected = {row["photo"] for row in rows if row["changed"] == said}
        opened.select_option("#filter", value)
        assert opened.locator(".photo:visible").count() == len(expected)
        assert opened.inner_text("#count") == f"{len(expected)} of 3 photos"
    opened.select_option("#filter", "")
    assert opened.locator(".photo:visible").count() == 3


def test_the_first_screen_says_what_this_is_not(page, visit):
    text = visit(page).inner_text("#about")
    assert "no protection against people, against classifiers that are trained on such photos" in text
    assert "face recognition, which was not tested" in text
    assert "show the originals" in text
    assert "protected" not in text


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_everybody_can_read_it(page, visit, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    opened = visit(page, width, scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert [found["id"] for found in Axe().run(opened).response["violations"]] == []
