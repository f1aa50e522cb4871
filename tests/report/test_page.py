"""The page, opened in a real browser."""

import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgefool.images import encode_png
from edgefool.report import load_results, make_tables, write_report
from edgefool.runs import RunFolder
from edgefool.runs.records import sha256

pytestmark = pytest.mark.xdist_group("page")  # its run and page are made once

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def plan(tmp_path_factory, make_photo, make_settings):
    """Return a plan with twelve photos, one of which has markup for a name, and a file that is not a photo."""
    settings = make_settings(tmp_path_factory.mktemp("plan"))
    (dataset,), (first, other) = settings["datasets"], settings["classifiers"]
    album = Path(dataset["path"])
    for seed in range(5):
        make_photo(album / f"photo {seed} #%.png", seed)
    make_photo(album / HOSTILE, 6)
    (album / "broken <b>.png").write_bytes(b"no photo")
    return settings | {"classifiers": [first | {"label": "first <i>"}, other]}


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory, carry_out_in):
    """Return the folder of a run of the plan with its page, which all tests share."""
    run = carry_out_in(tmp_path_factory.mktemp("finished") / "run", plan).run
    report(run)
    return Path(str(run.path))


@pytest.fixture
def run(finished, tmp_path):
    """Return a copy of the run, which a test may change."""
    return RunFolder(shutil.copytree(finished, tmp_path / "run"))


def report(run: RunFolder, **options) -> Path:
    results = load_results(run.path)
    return Path(str(write_report(run, results, make_tables(results), **options)))


@pytest.fixture
def page(run):
    """Return the page of the run."""
    return Path(str(run.path)) / "report" / "index.html"


def rewrite(log, lines) -> None:
    """Replace all lines of a log."""
    lines = list(lines)
    log.path.delete()
    log.append(lines)


def wait_for(element, name, value) -> None:
    """Wait until an element's property has a value; `Page.wait_for_function` would break the page's policy."""
    from playwright.sync_api import expect

    expect(element).to_have_js_property(name, value)


def test_names_with_markup_are_text(page, visit):
    opened = visit(page)
    opened.fill("#filter-text", "onerror")
    assert HOSTILE in opened.inner_text("#list")
    assert HOSTILE in opened.inner_text("#description")
    assert opened.evaluate("document.querySelectorAll('img[onerror], #list b, main i').length") == 0
    assert "first <i>" in opened.inner_text("#summary")
    wait_for(opened.locator("#above"), "naturalWidth", 32)
    opened.click(".failure summary")
    assert "broken <b>.png" in opened.inner_text(".failure")


def test_the_slider_moves_the_wipe(page, visit):
    opened = visit(page)
    opened.focus("#wipe")
    opened.keyboard.press("Home")
    clip = "getComputedStyle(document.getElementById('above')).clipPath"
    assert opened.evaluate(clip) == "inset(0px 0px 0px 0%)"
    for _ in range(3):
        opened.keyboard.press("ArrowRight")
    assert opened.evaluate(clip) == "inset(0px 0px 0px 3%)"
    assert opened.evaluate("document.getElementById('handle').style.left") == "3%"
    opened.locator("#canvas").scroll_into_view_if_needed()
    box = opened.locator("#canvas").bounding_box()
    opened.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20)
    opened.mouse.up()
    assert opened.evaluate("Number(document.getElementById('wipe').value)") == 75


def test_the_filters_filter(page, visit, run):
    opened = visit(page)
    records = [record for record in run.records() if not record.error]
    assert opened.inner_text("#count") == f"{len(records)} of {len(records)} images"
    wanted = [r for r in records if r.method == "deepfool" and r.classifier == "other" and not r.success]
    opened.select_option("#filter-method", "DeepFool")
    opened.select_option("#filter-classifier", "other")
    opened.select_option("#filter-outcome", "not")
    assert opened.inner_text("#count").startswith(f"{len(wanted)} of ")
    assert opened.locator(".item").count() == len(wanted) > 0
    opened.fill("#filter-text", "no such image")
    assert opened.inner_text("#count").startswith("0 of ")
    assert not opened.is_visible("#viewer")
    opened.fill("#filter-text", "")
    assert opened.is_visible("#viewer")


def test_the_keyboard_chooses_images(page, visit, run):
    opened = visit(page)
    count = sum(not record.error for record in run.records())
    opened.focus("#list")
    chosen = "document.querySelector('[aria-selected=true]').id"
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", count - 1), ("Home", 0)):
        opened.keyboard.press(key)
        assert opened.evaluate(chosen) == f"item-{expected}"
        assert opened.get_attribute("#list", "aria-activedescendant") == f"item-{expected}"
    assert opened.get_attribute("#previous", "aria-disabled") == "true"
    opened.click("#next")
    assert opened.evaluate(chosen) == "item-1"


def test_the_perturbation_is_the_scaled_difference(page, visit, run):
    """The browser's pixels against those of the files."""
    opened = visit(page)
    opened.check("input[value=perturbation]")
    opened.evaluate(
        "document.getElementById('scale').value = 1; document.getElementById('scale').dispatchEvent(new Event('input'))"
    )
    place = {"position": "fixed", "inset": "0 auto auto 0", "width": "32px", "height": "32px", "zIndex": 9}
    opened.evaluate("style => Object.assign(document.getElementById('canvas').style, style)", place)
    opened.evaluate("document.querySelectorAll('.corner').forEach(label => label.remove())")
    for image in opened.locator("#canvas img").all():
        wait_for(image, "complete", True)
    shown = np.asarray(Image.open(io.BytesIO(opened.locator("#canvas").screenshot())).convert("RGB")).astype(int)
    first = next(iter(run.cells()))
    record = min((r for r in run.records() if r.cell == first and not r.error), key=lambda record: record.image)
    original, adversarial = (
        np.asarray(Image.open(run.image_path(kind, record))).astype(int) for kind in ("originals", record.kind)
    )
    expected = np.clip(2 * np.abs(adversarial - original), 0, 255)
    assert expected.std() > 10
    assert np.abs(shown - expected).max() <= 2


@pytest.mark.usefixtures("no_figures")
def test_masks_are_shown_where_there_are_any(run, visit):
    fooled = [record for record in run.records() if not record.error and record.success]
    # Workers write records in any order; the page sorts those of a cell by image.
    lines = sorted(fooled, key=lambda record: (record.cell, record.image))[:2]
    assert lines[0].cell == lines[1].cell
    mask = encode_png(torch.full((1, 32, 32), 0.25))
    run.image_path("mask", lines[0]).write(mask)
    rewrite(run.record_lines, [lines[0].model_copy(update={"mask_png": sha256(mask)}), lines[1]])
    opened = visit(report(run))
    assert opened.is_visible("input[value=mask]")
    opened.check("input[value=mask]")
    wait_for(opened.locator("#below"), "naturalWidth", 32)
    assert "/images/mask/" in opened.evaluate("document.getElementById('below').src")
    opened.click("#next")
    assert not opened.is_visible("input[value=mask]")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_accessible(page, visit, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    opened = visit(page, width, scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") == width, "the page does not scroll sideways"
    opened.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = Axe().run(opened).response["violations"]
    serious = [
        (v["id"], [node["html"] for node in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize(
    "left",
    [
        "no successes",
        *(pytest.param(left, marks=pytest.mark.slow) for left in ("one image", "no predictions", "no quality")),
        "no records",
        "no files",
    ],
)
def test_runs_that_lack_something(run, visit, left, request):
    if left not in ("one image", "no predictions"):  # which the slow figures show otherwise
        request.getfixturevalue("no_figures")
    records = run.records()
    if left == "no successes":
        rewrite(run.record_lines, [record for record in records if record.kind == "failures"])
    elif left == "one image":
        rewrite(run.record_lines, [record for record in records if not record.error][:1])
    elif left == "no records":
        rewrite(run.record_lines, [])
    elif left == "no files":
        for record in records:
            run.image_path(record.kind, record).delete()
    else:
        (run.path / f"{left.split()[1]}.jsonl").delete()
    opened = visit(report(run))
    text = opened.inner_text("main")
    assert "Summary" in text
    for wrong in ("nan", "None", "undefined", "inf"):
        assert wrong not in text.replace("inference", ""), wrong
    assert opened.is_visible("#browser") == (left not in ("no records", "no files"))
    assert ("Repeat the command of the run" in text) == (left == "no files")


@pytest.mark.slow
def test_three_thousand_images(tmp_path, visit, run):
    """Written within a minute, shown within three seconds, at most five megabytes; thumbnails load on demand."""
    (record,) = [r for r in run.records() if not r.error and r.method == "enhance"][:1]
    source = run.image_path(record.kind, record)
    original = run.image_path("originals", record)
    copies = []
    for k in range(3000):
        new = record.model_copy(update={"image": f"many{k}", "source": f"/photos/many{k}.png", "structure_png": None})
        for kind, file in (("originals", original), (record.kind, source)):
            file.copy_to(Path(str(run.image_path(kind, new))))
        copies.append(new)
    rewrite(run.record_lines, copies)
    run.select({record.dataset: [copy.image for copy in copies]})
    start = time.perf_counter()
    page = report(run)
    assert time.perf_counter() - start < 60
    assert page.stat().st_size < 5e6
    start = time.perf_counter()
    opened = visit(page)
    opened.wait_for_selector("#item-0")
    assert time.perf_counter() - start < 3
    assert opened.inner_text("#count") == "3,000 of 3,000 images"
    assert opened.locator(".item").count() < 500
    opened.focus("#list")
    opened.keyboard.press("End")
    assert opened.evaluate("document.querySelector('[aria-selected=true]').id") == "item-2999"


@pytest.mark.usefixtures("no_figures")
def test_the_gallery_shares_its_room(run):
    page = report(run, most_images=5)
    data = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])
    assert len(data["items"]) == 5
    assert {item["c"] for item in data["items"]} == {0, 1, 2, 3}
    files = list((page.parent / "images" / "adversarial").rglob("*.png"))
    assert len(files) == 5


@pytest.mark.usefixtures("no_figures")
def test_the_page_is_replaced_whole(run, page, monkeypatch):
    """A page that cannot be made leaves the old one; files of images that are gone do not stay."""
    before = page.read_bytes()
    monkeypatch.setattr("jinja2.Template.render", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(run)
    assert page.read_bytes() == before
    assert not list(page.parent.parent.glob(".report*"))
    monkeypatch.undo()
    rewrite(run.record_lines, run.records()[:1])
    report(run)
    assert len(list((page.parent / "images" / "adversarial").rglob("*.png"))) <= 1


def test_files_beside_the_page(run, page):
    folder = page.parent
    for name in ("summary", "misleading", "transferability", "detectability", "quality"):
        assert (folder / f"{name}.csv").read_bytes()
    expected = make_tables(load_results(run.path))["misleading"].to_csv(index=False)
    assert (folder / "misleading.csv").read_text() == expected
    assert (folder / "plan.toml").read_bytes() == run.plan.read()
    assert "toprule" in (folder / "table1.tex").read_text()
    for name in ("figure5.pdf", "figure5.png", "figure5.svg", "figure5-dark.svg", "figure6.png", "figure4.pdf"):
        assert (folder / "figures" / name).stat().st_size > 1000


@pytest.mark.usefixtures("no_figures")
def test_large_images_get_thumbnails(run):
    record = next(record for record in run.records() if not record.error)
    image = encode_png(torch.rand(3, 700, 650))
    for kind in ("originals", record.kind):
        run.image_path(kind, record).write(image)
    changes = {"png": sha256(image), "original_png": sha256(image), "width": 650, "height": 700, "structure_png": None}
    rewrite(run.record_lines, [record.model_copy(update=changes)])
    page = report(run)
    (thumbnail,) = (page.parent / "images" / "thumbnails").rglob("*.jpg")
    with Image.open(thumbnail) as image:
        assert max(image.size) == 256


@pytest.mark.usefixtures("no_figures")  # theirs are compared in test_plotting.py
def test_the_same_run_gives_the_same_page(run):
    first, again = ({p: p.read_bytes() for p in report(run).parent.rglob("*") if p.is_file()} for _ in range(2))
    assert first == again


@pytest.mark.usefixtures("no_figures")
def test_a_run_whose_report_was_killed_goes_on(run, plan, page, carry_out):
    half = page.parent.parent / ".report" / "images" / "half.png"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    carry_out(plan)
    report(run)
    assert not list(page.parent.parent.glob(".report*"))


@pytest.mark.usefixtures("no_figures")
def test_the_old_page_stays_if_the_new_one_cannot_take_its_place(run, page, monkeypatch):
    rename = Path.rename

    def fail(self, target):
        if self.name == ".report":
            raise OSError("no")
        return rename(self, target)

    before = page.read_bytes()
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"):
        report(run)
    assert page.read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_methods_with_the_same_title_have_their_names(run):
    """A label may be the title of another method; they are not merged."""
    lines = [
        line.model_copy(update={"cell": line.cell.model_copy(update={"label": "DeepFool"})})
        if line.cell.method == "enhance"
        else line
        for line in run.cell_lines.read()
    ]
    rewrite(run.cell_lines, lines)
    text = report(run).read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [cell["method"] for cell in data["cells"]] == ["DeepFool", "deepfool"] * 2


@pytest.mark.usefixtures("no_figures")
def test_a_run_without_cells(run):
    for lines in (run.cell_lines, run.record_lines):
        rewrite(lines, [])
    assert "This run has no cells yet" in report(run).read_text()


@pytest.mark.usefixtures("no_figures")
def test_photos_that_left_the_plan_are_counted(run):
    images = sorted({record.image for record in run.records()})
    run.select({"pics": images[1:]})
    text = report(run).read_text()
    assert "Left out: 4 results" in text, "one photo, two methods, two classifiers"
