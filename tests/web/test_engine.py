"""The engine does what `Protector` and `Verifier` do, step by step."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from edgefool.errors import ImageError, UsageError
from edgefool.protection import ENSEMBLE, Protector, open_photo
from edgefool.protection.findings import VERSIONS
from edgefool.protection.protector import STEPS
from edgefool.protection.verifier import Verifier
from edgefool.web import Engine
from edgefool.web.job import CancelledError, Job


@pytest.fixture
def make_job(engine, tmp_path, make_photo):
    def make_job(name="my cat.jpg", content=None, **options):
        job = Job(tmp_path, name, engine.options(**options))
        job.source.write_bytes(content or make_photo(tmp_path / "photo.jpg", 1, 90, 60).read_bytes())
        return job

    return make_job


def test_the_file_is_that_of_protect_and_the_verdicts_are_those_of_verify(engine, make_job):
    job = make_job(strength="subtle")
    engine.run(job)
    classifiers = list(engine.classifiers.values())
    data, outcome = Protector("subtle", classifiers[:1]).protect_photo(open_photo(job.source))
    assert job.result.read_bytes() == data
    assert job.status.state == "done"
    facts = job.status.result
    assert facts["name"] == "my cat.jpg"
    assert (facts["format"], facts["bytes"], facts["ssim"]) == ("JPEG", len(data), outcome.quality.ssim)
    assert facts["source_bytes"] == job.source.stat().st_size

    judged = Verifier(classifiers).judge(job.source, job.result, "subtle", outcome.factor)
    assert [verdict["attacked"] for verdict in job.status.verdicts] == [True, False]
    for verdict, classifier in zip(job.status.verdicts, classifiers, strict=True):
        assert verdict["classifier"] == classifier.name
        assert list(verdict["versions"]) == list(VERSIONS)
        for finding in judged.findings:
            if finding.classifier == classifier.fingerprint:
                found = verdict["versions"][finding.version]
                assert found["before"] == finding.own.before.model_dump()
                assert found["alone"] == finding.own.alone.model_dump()
                assert found["changed"] == (found["before"]["index"] != found["after"]["index"])
                same_group = found["before"]["group"] == found["after"]["group"]
                assert found["left_group"] == (None if not found["before"]["group"] else not same_group)


def test_the_steps_are_seen_as_they_are_taken(engine, make_job, gate, wait_for):
    job = make_job()
    gate.set(4)  # the decision on the original and three steps
    thread = threading.Thread(target=engine.run, args=(job,))
    thread.start()
    wait_for(lambda: job.status.step == 3)
    assert (job.status.state, job.status.steps, job.status.size) == ("changing", STEPS, (90, 60))
    assert [job.picture(name).exists() for name in ("original", "3", "4", "result")] == [True, True, False, False]
    gate.open()
    thread.join()
    first, last = (np.asarray(Image.open(job.picture(str(step)))).astype(int) for step in (1, STEPS))
    assert first.shape == last.shape == (43, 64, 3)
    assert np.abs(first - last).mean() > 0.1, "the picture changes"


def test_pictures_come_at_intervals_and_at_the_end(gate, make_job, engine):
    gate.open()
    slow, job = Engine([*engine.classifiers.values()], max_megapixels=1, seconds_per_picture=3600), make_job()
    slow.run(job)
    assert [step for step in range(1, STEPS + 1) if job.picture(str(step)).exists()] == [1, STEPS]
    assert (job.status.step, job.status.picture) == (STEPS, STEPS)


def test_a_cancelled_photo_ends_at_the_next_step_or_look(engine, make_job, gate, wait_for, tmp_path):
    for passes, state in ((4, "changing"), (35, "judging")):
        job, ended = make_job(), []

        def run(job=job, ended=ended):
            with pytest.raises((CancelledError, FileNotFoundError)):
                engine.run(job)
            ended.append(True)

        gate.set(passes)
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda job=job, state=state: job.status.state == state and gate.is_closed)
        job.cancel()
        gate.set(1)
        thread.join(30)
        assert ended, state
        assert not job.folder.exists()


def test_small_pictures_for_large_photos(engine, make_job, monkeypatch):
    monkeypatch.setattr("edgefool.web.job.PREVIEW", 80)
    job = make_job()
    engine.run(job)
    for name in ("original", "result"):
        with Image.open(job.picture(name)) as image:
            assert image.size == (80, 53)
    assert job.status.size == (90, 60)


@pytest.mark.parametrize(
    ("mode", "kind", "name", "result"),
    [
        ("L", "PNG", "grey.png", "grey.png"),
        ("RGBA", "PNG", "clear.png", "clear.png"),
        ("RGB", "BMP", "old.bmp", "old.jpg"),
        ("RGB", "JPEG", "no suffix", "no suffix"),
        ("RGB", "BMP", "no suffix", "no suffix.jpg"),
        ("RGB", "JPEG", "phone.MPO", "phone.jpg"),
    ],
)
def test_kinds_of_photos_and_the_names_of_their_results(engine, make_job, mode, kind, name, result):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(90, 160, (40, 50, len(Image.new(mode, (1, 1)).getbands())), np.uint8)
    Image.fromarray(pixels.squeeze()).convert(mode).save(buffer, kind)
    job = make_job(name, buffer.getvalue())
    engine.run(job)
    assert job.status.result["name"] == result
    with Image.open(job.result) as image:
        assert (image.size, image.mode) == ((50, 40), mode)


def animation():
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def saved(mode, size, kind):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Dear reader", "not an image"),
        (saved("RGB", (300, 300), "JPEG")[:900], "damaged, truncated"),
        (saved("RGB", (8, 40), "PNG"), "has 8x40 pixels; both sides must have at least 16"),
        (saved("RGB", (1200, 1000), "PNG"), "larger max_megapixels, here 2"),
        (saved("CMYK", (40, 40), "JPEG"), "CMYK"),
        (animation(), "animation"),
    ],
    ids=["text", "truncated", "tiny", "large", "inks", "animation"],
)
def test_photos_that_cannot_be_changed(engine, make_job, content, reason):
    with pytest.raises(ImageError, match=reason):
        engine.run(make_job(content=content))


def test_a_photo_is_not_changed_twice(engine, make_job):
    job = make_job()
    engine.run(job)
    with pytest.raises(ImageError, match="already"):
        engine.run(make_job(content=job.result.read_bytes()))


def test_options(engine):
    assert engine.options().attack == ("first",)
    assert engine.options(attack=["<i>other</i>", "first", "first"]).attack == ("<i>other</i>", "first")
    with pytest.raises(UsageError, match="unknown strength 'strong'"):
        engine.options("strong")
    with pytest.raises(UsageError, match="unknown classifier 'second'"):
        engine.options(attack=["second"])


def test_those_who_are_attacked_can_be_chosen(engine, make_job):
    job = make_job(attack=["<i>other</i>"])
    engine.run(job)
    assert [verdict["attacked"] for verdict in job.status.verdicts] == [False, True]
    data, _ = Protector(classifiers=[engine.classifiers["<i>other</i>"]]).protect_photo(open_photo(job.source))
    assert job.result.read_bytes() == data


@pytest.mark.slow
def test_the_classifiers_of_the_package(tmp_path, monkeypatch):
    """A photo of a cat is attacked with one, and another judges."""
    from edgefool import load_classifier
    from edgefool.datasets.demo import write_demo_photos

    monkeypatch.setattr("edgefool.protection.protector.SIZE", 128)
    loaded = [load_classifier(name) for name in ENSEMBLE[:2]]
    engine = Engine(loaded[:1], loaded[1:])
    job = Job(tmp_path, "cat.png", engine.options())
    (photo,) = write_demo_photos(tmp_path, ["cat"])
    job.source.write_bytes(photo.read_bytes())
    engine.run(job)
    lite0, lite1 = (verdict["versions"]["file"] for verdict in job.status.verdicts)
    assert lite0["before"]["name"] in ("tabby", "tiger cat", "Egyptian cat")
    assert lite0["changed"]
    assert lite0["before"]["group"] == lite1["before"]["group"] != ""
