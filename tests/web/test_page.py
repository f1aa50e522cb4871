"""The page in a real browser, from a photo to its download."""

import hashlib
from urllib.parse import urlsplit

import pytest

from edgefool.protection.protector import STEPS

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def open_page(browser, serving):
    """Return what opens the page; in the end it must have asked only its own server, without any complaint."""
    complaints, requests, contexts = list[str](), list[str](), []

    def open_page(width=1280, scheme="light", tolerated=()):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "console", lambda line: None if any(t in line.text for t in tolerated) else complaints.append(line.text)
        )
        page.goto(serving)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {urlsplit(url).netloc for url in requests if not url.startswith("blob:")} == {urlsplit(serving).netloc}


@pytest.fixture
def photo(tmp_path, make_photo):
    return make_photo(tmp_path / "my cat.png", 1, 96, 64)


def wait_for_verdicts(page):
    page.locator("#verdicts[aria-busy=false]").wait_for()


def serious_findings(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_the_whole_path(open_page, photo, gate, jobs, width, scheme):
    page = open_page(width, scheme)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    assert serious_findings(page) == []
    gate.set(6)
    page.evaluate(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => {"
        "  if (!entry.hadRecentInput) window.shift += entry.value;"
        "})).observe({type: 'layout-shift'})"
    )
    page.check("input[value=subtle]")
    page.set_input_files("#file", photo)
    page.get_by_text(f"Step 5 of {STEPS}").wait_for()
    page.locator("#after[src$='/steps/5.jpg']").wait_for()
    assert page.evaluate("document.getElementById('progress').position") == pytest.approx(5 / STEPS)
    assert serious_findings(page) == []
    gate.open()
    wait_for_verdicts(page)
    page.locator("#after[src$='/result.jpg']").wait_for()
    assert page.evaluate(fits)
    assert serious_findings(page) == []
    assert page.evaluate("window.shift") < 0.1

    text = page.inner_text("#findings")
    assert "attacked" in text
    assert "not attacked" in text
    assert "enhancement alone: " in text
    assert "<i>other</i>" in text
    for wrong in ("undefined", "null", "NaN"):
        assert wrong not in text
    assert page.locator("#verdicts td").count() == 8
    assert " of 2 classifiers give the changed photo another class" in page.inner_text("#summary")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "my cat.png"
    (job,) = jobs.all()
    assert job.status.result["strength"] == "subtle"
    downloaded = hashlib.sha256(download.value.path().read_bytes()).hexdigest()
    assert downloaded == hashlib.sha256(job.result.read_bytes()).hexdigest()


def test_with_the_keyboard_alone(open_page):
    page = open_page()
    focused = "document.activeElement.id"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "file"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "example"
    page.keyboard.press("Enter")
    wait_for_verdicts(page)
    assert page.evaluate(focused) == "download"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == "wipe"
    page.keyboard.press("Home")
    clip = "getComputedStyle(document.getElementById('after')).clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 0%)"
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#wipe", "aria-valuetext") == "1 % original"
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "cat.png"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "file"
    assert page.is_visible("#drop")
    assert not page.is_visible("#findings")


def test_cancel_deletes_and_another_photo_can_be_taken(open_page, photo, gate, jobs, wait_for):
    page = open_page(tolerated=["status of 404"])
    gate.set(4)
    page.set_input_files("#file", photo)
    page.get_by_text(f"Step 3 of {STEPS}").wait_for()
    (job,) = jobs.all()
    page.click("#cancel")
    assert page.is_visible("#drop")
    wait_for(lambda: not job.folder.exists())
    assert jobs.all() == []
    gate.open()
    page.set_input_files("#file", photo)
    wait_for_verdicts(page)


def test_two_tabs_do_not_disturb_each_other(open_page, photo, gate, tmp_path, make_photo):
    first, second = open_page(), open_page()
    gate.set(3)
    first.set_input_files("#file", photo)
    first.get_by_text(f"Step 2 of {STEPS}").wait_for()
    second.set_input_files("#file", make_photo(tmp_path / "dog.png", 2, 64, 96))
    second.get_by_text("1 photo before yours").wait_for()
    gate.open()
    for page, name in ((first, "my cat.png"), (second, "dog.png")):
        wait_for_verdicts(page)
        assert name in page.inner_text("#facts")


def test_closing_the_page_deletes_its_photo(open_page, photo, jobs, wait_for):
    page = open_page()
    page.set_input_files("#file", photo)
    wait_for_verdicts(page)
    assert jobs.all()
    page.close(run_before_unload=True)
    wait_for(lambda: jobs.all() == [])


def test_errors_are_sentences_and_the_page_goes_on(open_page, photo, tmp_path):
    page = open_page()
    (tmp_path / "letter.txt").write_text("Dear reader")
    page.set_input_files("#file", tmp_path / "letter.txt")
    page.get_by_text("letter.txt: not an image").wait_for()
    assert page.evaluate("document.activeElement.id") == "error"
    assert page.is_visible("#drop")
    page.uncheck("input[value=first]")
    page.set_input_files("#file", photo)
    page.get_by_text("Tick at least one classifier to attack.").wait_for()
    page.check("input[value='<i>other</i>']")
    page.set_input_files("#file", [])
    page.set_input_files("#file", photo)
    wait_for_verdicts(page)
    assert not page.is_visible("#error")


def test_names_with_markup_are_text(open_page, make_photo, tmp_path):
    page = open_page()
    page.set_input_files("#file", make_photo(tmp_path / HOSTILE, 1, 72, 48))
    wait_for_verdicts(page)
    assert HOSTILE in page.inner_text("#title")
    assert page.evaluate("document.querySelectorAll('img[onerror], main i').length") == 0


def test_a_dropped_photo_and_once_more_with_another_strength(open_page, photo, jobs):
    page = open_page()
    data = page.evaluate_handle(
        """async () => {
            const data = await (await fetch("/example.png")).blob(), transfer = new DataTransfer();
            transfer.items.add(new File([data], "dropped.png"));
            return transfer;
        }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    wait_for_verdicts(page)
    assert "dropped.png" in page.inner_text("#facts")
    assert "natural" in page.inner_text("#facts")
    page.check("input[value=vivid]")
    page.click("#again")
    page.get_by_text(", vivid").wait_for()
    (job,) = jobs.all()
    assert (job.name, job.options.strength) == ("dropped.png", "vivid")


def test_a_server_that_has_ended(open_page, photo, serving, gate):
    page = open_page(tolerated=["ERR_CONNECTION_REFUSED", "ERR_FAILED"])
    page.route("**/photos?*", lambda route: route.abort())
    page.set_input_files("#file", photo)
    page.get_by_text("EdgeFool does not answer.").wait_for()
