"""Answers and distances are those of the files, whatever the company, and of no file that is there no more."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
import torch
from torch import nn

from edgefool.classifiers import Classifier, Preprocessing, load_classifier
from edgefool.errors import UsageError
from edgefool.execution.evaluation import Evaluation
from edgefool.execution.measurer import Measurer
from edgefool.images import encode_png, read_image
from edgefool.metrics import SQUEEZERS, changed_pixels, ciede2000, linf, psnr, ssim
from edgefool.runs import RunFolder
from edgefool.runs.records import sha256
from edgefool.storage import local_path

SQUEEZED = ("bits4", "median2")


class Distance(nn.Module):
    """In place of LPIPS."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, images, originals):
        return self.scale * (images - originals).abs().mean((1, 2, 3))


class Touchy(nn.Module):
    """Knows nothing of images that are bright at the first pixel."""

    def __init__(self, net, limit):
        super().__init__()
        self.net, self.limit = net, limit

    def forward(self, images):
        return torch.where(images[:, :1, 0, 0] > self.limit, torch.nan, self.net(images))


@pytest.fixture
def done(copied_run, plan_done):
    """Return a run with two cells of one classifier and two of another, and these classifiers."""
    return RunFolder(copied_run), [cell.job.classifier for cell in plan_done.state.cells[::2]]


def measure(run: RunFolder, classifiers, squeezers=SQUEEZED, lpips=None, batch_size=16) -> tuple[Evaluation, int]:
    """Measure all images of a run; return how many were."""
    with ThreadPoolExecutor(2) as pool:
        given = {"lpips": lpips is not None, "batch_size": batch_size}
        evaluation, count = Evaluation(run, {"pics": classifiers}, squeezers, **given), 0
        measurer, records = Measurer(run, classifiers, pool, lpips), run.records()
        requests = [evaluation.originals(records)]
        for folder, cell in run.cells().items():
            requests.append(evaluation.adversarial([r for r in records if r.cell == folder], [cell.fingerprint]))
        for request in chain(*requests):
            evaluation.save(measurer(request))
            count += len(request)
    return evaluation, count


def forget(run: RunFolder) -> RunFolder:
    """Return a copy of the run that has not been measured."""
    folder = local_path(run.path)
    copy = folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("predictions.jsonl", "quality.jsonl"))
    return RunFolder(copy)


# From the files


@torch.no_grad()
def test_answers_are_those_of_the_files(done):
    run, classifiers = done
    by_fingerprint = {classifier.fingerprint: classifier for classifier in classifiers}
    records = {(r.cell, r.image): r for r in run.records()} | {(None, r.image): r for r in run.records()}
    lines = run.predictions()
    assert {line.key for line in lines} == {
        (cell, "pics", image, fingerprint) for cell, image in records for fingerprint in by_fingerprint
    }
    for line in lines:
        record, classifier = records[line.cell, line.image], by_fingerprint[line.fingerprint]
        path = run.image_path(record.kind if line.cell else "originals", record)
        assert line.png == hashlib.sha256(path.read()).hexdigest()
        assert line.classifier == classifier.name
        image = read_image(path)[None]
        probabilities = classifier(image).softmax(1)[0]
        assert line.predicted == probabilities.argmax()
        assert line.probability == pytest.approx(probabilities.max().item(), rel=1e-4)
        # An image is squeezed for the classifier that it was made for, an original for all.
        attacked = line.cell is None or run.cells()[line.cell].fingerprint == line.fingerprint
        assert set(line.scores) == (set(SQUEEZED) if attacked else set())
        for name, score in line.scores.items():
            squeezed = classifier(SQUEEZERS[name](image)).softmax(1)[0]
            assert score == pytest.approx((squeezed - probabilities).abs().sum().item(), rel=1e-3, abs=1e-5)


def test_qualities_are_those_of_the_files(done):
    run, _ = done
    records = {r.key: r for r in run.records()}
    lines = run.qualities()
    assert {line.key for line in lines} == set(records)
    for line in lines:
        record = records[line.key]
        pair = [read_image(run.image_path(kind, record))[None] for kind in (record.kind, "originals")]
        assert line.png == record.png
        assert line.lpips is None
        for distance in (psnr, ssim, ciede2000, linf, changed_pixels):
            assert getattr(line, distance.__name__) == pytest.approx(distance(*pair).item(), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_company_changes_nothing(done, agree, batch_size):
    run, classifiers = done
    copy = forget(run)
    evaluation, count = measure(copy, classifiers, batch_size=batch_size)
    assert evaluation.problems == []
    assert count == 4 * 6 + 6
    agree(copy, run)


def test_images_of_other_sizes_share_no_batch(album, settings, carry_out, make_photo):
    """Of their own sizes there are 6 of 36 x 32 and 3 of 20 x 50; a batch of both could not be stacked."""
    for seed in range(3):
        make_photo(album / f"tall{seed}.png", seed, width=20, height=50)
    run, _, steps = carry_out(settings | {"size": "native"})
    assert sorted(step.measured for step in steps if step.measured) == sorted([3, 6] * 4 + [3, 6])
    assert len(run.predictions()) == (4 * 9 + 9) * 2
    assert len(run.qualities()) == 4 * 9


# What is missing


def test_nothing_is_measured_twice(done):
    run, classifiers = done
    before = run.prediction_lines.path.read(), run.quality_lines.path.read()
    assert measure(run, classifiers)[1] == 0
    assert measure(run, classifiers, squeezers=SQUEEZED[:1])[1] == 0
    assert (run.prediction_lines.path.read(), run.quality_lines.path.read()) == before


def test_an_image_that_was_replaced_is_measured_anew(done):
    """Only that one, and by all; answers about the file before it count no more."""
    run, classifiers = done
    record = next(r for r in run.records() if r.success)
    image = read_image(run.image_path("originals", record)).flip(2)
    png = encode_png(image)
    run.save(record.model_copy(update={"png": sha256(png)}), {run.image_path(record.kind, record): png})
    answers = len(run.prediction_lines.path.read().splitlines())
    assert measure(run, classifiers)[1] == 1
    assert len(run.prediction_lines.path.read().splitlines()) == answers + 2
    new = [line for line in run.predictions() if line.key[:3] == (record.cell, "pics", record.image)]
    assert {line.png for line in new} == {sha256(png)}
    assert [line.predicted for line in new] == [int(c(image[None]).argmax()) for c in classifiers]
    (quality,) = [line for line in run.qualities() if line.key == record.key]
    assert quality.png == sha256(png)
    assert measure(run, classifiers)[1] == 0


def test_another_squeezer_is_measured_where_it_is_wanted(done):
    run, classifiers = done
    assert measure(run, classifiers, squeezers=("median3",))[1] == 4 * 6 + 6
    for line in run.predictions():
        attacked = line.cell is None or run.cells()[line.cell].fingerprint == line.fingerprint
        assert set(line.scores) == ({"median3"} if attacked else set())


def test_lpips_can_be_asked_for_later(done):
    run, classifiers = done
    before = {line.key: line for line in run.qualities()}
    answers = run.prediction_lines.path.read()
    assert measure(run, classifiers, lpips=Distance())[1] == 4 * 6
    records = {r.key: r for r in run.records()}
    for line in run.qualities():
        record = records[line.key]
        image, original = (read_image(run.image_path(kind, record)) for kind in (record.kind, "originals"))
        assert line.lpips == pytest.approx(3 * (image - original).abs().mean().item(), rel=1e-4)
        assert line.model_copy(update={"lpips": None}).model_dump() == pytest.approx(before[line.key].model_dump())
    assert run.prediction_lines.path.read() == answers
    assert measure(run, classifiers, lpips=Distance())[1] == 0
    assert measure(run, classifiers)[1] == 0, "what is known of LPIPS is not forgotten"


def test_lpips_that_fails_leaves_the_other_distances(done, monkeypatch):
    """As it does of images that are too small for its network."""
    run, classifiers = done
    before = run.quality_lines.path.read()
    lpips = Distance()

    def fail(*_):
        raise UsageError("too small")

    monkeypatch.setattr(lpips, "forward", fail)
    assert measure(run, classifiers, lpips=lpips)[0].problems == ["LPIPS: too small"]
    assert run.quality_lines.path.read() == before
    copy = forget(run)
    measure(copy, classifiers, lpips=lpips)
    known = {line.key: line.lpips for line in copy.qualities()}
    assert known == {record.key: None for record in run.records()}


# Classifiers that fail


def touchy(classifier: Classifier, limit: float) -> Classifier:
    net, classes = Touchy(classifier.net, limit), classifier.classes
    return Classifier(net, name="touchy", classes=classes, architecture="t", preprocessing=Preprocessing())


def test_one_answer_that_is_no_number_leaves_its_neighbours_alone(done):
    run, (first, _) = done
    records = {r.key: r for r in run.records()}.values()
    brightness = {r.image: float(read_image(run.image_path("originals", r))[0, 0, 0]) for r in records}
    limit = sorted(brightness.values())[3]
    classifier = touchy(first, limit)
    evaluation, _ = measure(run, [classifier])
    assert evaluation.problems == ["touchy: the logits for some images of 32 x 32 pixels are not finite numbers"]
    lines = [line for line in run.predictions() if line.classifier == "touchy"]
    clean = {line.image for line in lines if line.cell is None}
    assert clean == {image for image, value in brightness.items() if value <= limit}
    assert len(clean) == 4
    known = {(line.cell, line.image): line for line in run.predictions() if line.classifier == "first"}
    for line in lines:
        assert line.predicted == known[line.cell, line.image].predicted
        assert line.probability == pytest.approx(known[line.cell, line.image].probability, rel=1e-4)
    again, count = measure(run, [classifier])
    assert count > 0, "it is asked again each time"
    assert again.problems == evaluation.problems


def test_a_classifier_that_fails_is_told_once_for_a_size(album, tiny, settings, carry_out, make_photo):
    for height in (40, 48):
        for seed in range(2):
            make_photo(album / f"{height}-{seed}.png", seed, height=height)
    run, state, _ = carry_out(settings | {"size": "native"})
    net = state.cells[0].job.classifier.net
    fine = Classifier(net, name="fine", classes="abcde", architecture="net", preprocessing=Preprocessing())
    evaluation, _ = measure(run, [load_classifier(f"{tiny}:choosy"), fine])
    assert evaluation.problems == [
        "classifier-choosy cannot take 36 x 40 pixels: no 40, please",
        "classifier-choosy: the logits for some images of 36 x 48 pixels are not finite numbers",
    ]
    lines = run.predictions()
    for name, images in (("classifier-choosy", 6), ("fine", 10), ("first", 10), ("other", 10)):
        assert len([line for line in lines if line.classifier == name]) == images * 5
