"""Classes of transformed images: of the files, computed once, resumed, and by the classifiers that can."""

from collections import Counter

import pytest
import torch

from edgefool.execution import measurer
from edgefool.execution.measurer import Measurements
from edgefool.images import read_image, resize_image
from edgefool.metrics import TRANSFORMATIONS
from edgefool.runs import RunFolder, TransformedClasses
from edgefool.storage import local_path

TWO = ["jpeg75", "half"]


@pytest.fixture
def transformed(monkeypatch):
    """Count how often each transformation is applied."""
    counts, genuine = Counter(), measurer.transform

    def transform(image, name):
        counts[name] += 1
        return genuine(image, name)

    monkeypatch.setattr(measurer, "transform", transform)
    return counts


@torch.no_grad()
def test_classes_are_those_of_the_transformed_files(settings, carry_out):
    run, state, _ = carry_out(settings | {"robustness": TWO})
    classifiers = {c.fingerprint: c for c in state.experiment.all_classifiers}
    records = {(r.cell, r.image): r for r in run.records()} | {(None, r.image): r for r in run.records()}
    lines = run.transformed()
    assert {line.key for line in lines} == {(cell, "pics", image, f) for cell, image in records for f in classifiers}
    for line in lines:
        record = records[line.cell, line.image]
        assert line.png == (record.png if line.cell else record.original_png)
        assert list(line.classes) == TWO
        image = read_image(run.image_path(record.kind if line.cell else "originals", record))
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        for name, index in line.classes.items():
            small = torch.tensor(TRANSFORMATIONS[name](pixels)).permute(2, 0, 1) / 255
            # These classifiers do not resize images, so they get them as large as they were.
            shown = small if name == "jpeg75" else resize_image(small, (32, 32))
            assert index == classifiers[line.fingerprint](shown[None]).argmax()


def test_each_image_is_transformed_once_and_an_added_transformation_is_all_that_is_new(
    settings, carry_out, transformed
):
    """Four cells of six images and six originals, whatever the number of classifiers."""
    run, _, _ = carry_out(settings | {"robustness": ["half"]})
    assert transformed == {"half": 30}
    first = {line.key: line for line in run.transformed()}
    transformed.clear()
    run, _, steps = carry_out(settings | {"robustness": TWO})
    assert transformed == {"jpeg75": 30}
    for line in run.transformed():
        assert set(line.classes) == set(TWO)
        assert line.classes["half"] == first[line.key].classes["half"]
    assert all(step.record is None for step in steps)
    transformed.clear()
    assert carry_out(settings | {"robustness": TWO})[2] == []
    assert carry_out(settings | {"robustness": []})[2] == []
    assert not transformed


def test_a_resumed_run_transforms_what_is_missing(settings, carry_out, transformed):
    run, _, _ = carry_out(settings | {"robustness": TWO})
    log = local_path(run.path) / "robustness.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-5]))
    before = run.transformed()
    transformed.clear()
    run, _, _ = carry_out(settings | {"robustness": TWO})
    assert 0 < transformed["half"] <= 5
    assert run.transformed()[: len(before)] == before
    assert len(run.transformed()) == len(lines)


def test_classes_of_a_file_that_was_replaced_are_replaced(settings, carry_out):
    run, state, _ = carry_out(settings | {"robustness": ["half"]})
    line = run.transformed()[0]
    other = line.model_copy(update={"png": "another file", "classes": {"jpeg75": 0}})
    state.evaluation.save(Measurements(transformed=[other]))
    assert other in run.transformed()
    run, _, _ = carry_out(settings | {"robustness": ["half"]})
    assert {found.key: found for found in run.transformed()}[line.key] == line


def test_without_predictions_the_attacked_classifier_alone_is_asked(photos, attack_photos, tmp_path):
    attack_photos(photos, robustness=TWO)
    run = RunFolder(tmp_path / "run")
    assert run.predictions() == []
    assert len(run.transformed()) == 12  # six photos before and after
    assert {line.fingerprint for line in run.transformed()} == {cell.fingerprint for cell in run.cells().values()}


def test_a_classifier_that_fails_gives_no_classes(settings, carry_out, tiny):
    choosy = {"name": f"{tiny}:choosy", "role": "judge"}
    plan = settings | {"classifiers": [settings["classifiers"][0], choosy], "size": 40, "robustness": ["blur1"]}
    run, state, _ = carry_out(plan)
    first, _ = state.experiment.all_classifiers
    assert {line.fingerprint for line in run.transformed()} == {first.fingerprint}
    assert state.evaluation.problems == ["classifier-choosy cannot take 40 x 40 pixels: no 40, please"]


def test_lines_survive_their_file():
    line = TransformedClasses(
        cell=None, dataset="d", image="i", png="p", fingerprint="f", classes={"half": 3, "jpeg75": 0}
    )
    assert TransformedClasses.model_validate_json(line.model_dump_json()) == line
