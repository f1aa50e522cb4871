"""Results are sorted by cell, and hold only what the run has now."""

import pytest

from edgefool.errors import RunError, UsageError
from edgefool.experiments import make_plan
from edgefool.report import Results, load_results, make_results
from edgefool.runs import Cell, Prediction, Quality, Record, RunFolder
from edgefool.runs.records import CellLine


def make_cell(label: str = "nfgsm", classifier: str = "a", **changes: object) -> Cell:
    settings = {
        "dataset": "pics",
        "method": "nfgsm",
        "constants": {"alpha": 1.0},
        "fingerprint": f"print of {classifier}",
        "size": 32,
        "seed": 0,
        "label": label,
        "classifier": classifier,
        "num_classes": 5,
    }
    return Cell.model_validate(settings | changes)


def make_record(image: str = "cat", cell: str = "pics/nfgsm/a", **changes: object) -> Record:
    dataset, method, classifier = cell.split("/")
    settings = {"source": "/", "method": method, "classifier": classifier, "original_png": "before", "png": "after"}
    return Record.model_validate({"cell": cell, "dataset": dataset, "image": image} | settings | changes)


def make_prediction(image: str = "cat", cell: str | None = "pics/nfgsm/a", **changes: object) -> Prediction:
    settings = {"dataset": "pics", "png": "after" if cell else "before", "classifier": "a", "fingerprint": "print of a"}
    settings |= {"predicted": 1, "probability": 0.5, "scores": {}}
    return Prediction.model_validate({"cell": cell, "image": image} | settings | changes)


def make_quality(image: str = "cat", cell: str = "pics/nfgsm/a", **changes: object) -> Quality:
    settings = {"png": "after", "ciede2000": 1.0, "linf": 0.1, "changed_pixels": 1.0}
    return Quality.model_validate({"cell": cell, "image": image} | settings | changes)


def results(cells=None, records=(), predictions=(), qualities=(), label_classes=None) -> Results:
    return make_results(
        cells or {"pics/nfgsm/a": make_cell()},
        records,
        predictions,
        qualities,
        squeezers=("bits4",),
        false_positive_rate=0.05,
        label_classes=label_classes or {"pics": None},
    )


def test_predictions_are_sorted_by_cell_and_classifier():
    cells = {"pics/nfgsm/a": make_cell(), "pics/nfgsm/b": make_cell(classifier="b")}
    records = [make_record(image, folder) for image in ("cat", "dog") for folder in cells]
    lines = [
        make_prediction(image, folder, fingerprint=f"print of {judge}", predicted=number)
        for number, (image, folder, judge) in enumerate(
            (image, folder, judge) for image in ("cat", "dog") for folder in (None, *cells) for judge in ("a", "b")
        )
    ]
    found = results(
        cells, records, lines, [make_quality(image, folder) for image in ("cat", "dog") for folder in cells]
    )
    for number, line in enumerate(lines):
        kept = (
            found.of_adversarial(line.cell, line.fingerprint)
            if line.cell
            else found.of_originals("pics", line.fingerprint)
        )
        assert set(kept) == {"cat", "dog"}
        assert kept[line.image].predicted == number
    for folder in cells:
        assert list(found.quality(folder)) == [r.image for r in found.records[folder]] == ["cat", "dog"]
    assert found.of_originals("pics", "nobody") == found.of_originals("nothing", "print of a") == {}
    assert found.of_adversarial("pics/nfgsm/a", "nobody") == {}


@pytest.mark.parametrize(
    "stale",
    [
        {"png": "replaced"},
        {"png": "before"},  # of the original, not the adversarial image
        {"image": "lion"},
        {"dataset": "scenes"},
        {"cell": "pics/nfgsm/b"},
        {"cell": "pics/gone/a"},
    ],
)
def test_measurements_of_other_files_are_left_out(stale):
    cells = {"pics/nfgsm/a": make_cell(), "pics/nfgsm/b": make_cell(classifier="b")}
    records = [make_record(), make_record(cell="pics/nfgsm/b", png="other")]
    found = results(cells, records, [make_prediction(**stale)])
    assert [found.of_adversarial(folder, "print of a") for folder in cells] == [{}, {}]
    if "dataset" not in stale:
        found = results(cells, records, qualities=[make_quality(**stale)])
        assert [found.quality(folder) for folder in cells] == [{}, {}]


@pytest.mark.parametrize("stale", [{"png": "after"}, {"png": "replaced"}, {"image": "lion"}, {"dataset": "scenes"}])
def test_predictions_for_other_originals_are_left_out(stale):
    found = results(records=[make_record()], predictions=[make_prediction(cell=None, **stale)])
    assert found.of_originals("pics", "print of a") == found.of_originals("scenes", "print of a") == {}
    kept = results(records=[make_record()], predictions=[make_prediction(cell=None)])
    assert list(kept.of_originals("pics", "print of a")) == ["cat"]


def test_images_that_could_not_be_attacked_are_apart():
    """A prediction for a file of an earlier attempt no longer counts."""
    broken = make_record("dog", original_png=None, png=None, error="broken")
    found = results(records=[make_record(), broken], predictions=[make_prediction("dog"), make_prediction("cat")])
    assert found.records["pics/nfgsm/a"] == [make_record()]
    assert found.errors["pics/nfgsm/a"] == [broken]
    assert list(found.of_adversarial("pics/nfgsm/a", "print of a")) == ["cat"]


def test_methods_have_their_labels_as_names_if_these_are_unambiguous():
    cells = {
        "pics/nfgsm/a": make_cell(),
        "pics/nfgsm-1234/a": make_cell(constants={"alpha": 2.0}),
        "pics/nfgsm/b": make_cell(classifier="b"),
        "pics/old/a": make_cell(label="new"),
    }
    assert list(results(cells).methods.values()) == ["nfgsm", "nfgsm-1234", "nfgsm", "new"]


def test_targets_are_the_classifiers_of_a_dataset_once_each():
    cells = {
        f"{dataset}/{method}/{classifier}": make_cell(method, classifier, dataset=dataset, constants={"m": method})
        for dataset, classifiers in (("pics", "ab"), ("scenes", "bc"))
        for method in ("one", "two")
        for classifier in classifiers
    }
    targets = results(cells).targets
    assert {dataset: [c.classifier for c in found] for dataset, found in targets.items()} == {
        "pics": ["a", "b"],
        "scenes": ["b", "c"],
    }


def test_the_null_method_is_that_of_the_same_classifier():
    cells = {
        f"{dataset}/{method}/{classifier}": make_cell(f"{method}!", classifier, dataset=dataset, method=method)
        for dataset in ("pics", "scenes")
        for method in ("nfgsm", "enhance")
        for classifier in "ab"
    }
    found = results(cells)
    for cell in cells.values():
        assert found.null(cell) == f"{cell.dataset}/enhance/{cell.classifier}"
    assert results().null(make_cell()) is None


def test_the_null_method_enhances_as_strongly():
    def enhancing(method, label, **constants):
        return make_cell(label, method=method, constants=constants)

    cells = {
        "vivid null": enhancing("enhance", "vivid null", v3=15.0),
        "natural null": enhancing("enhance", "natural null", v3=7.0),
        "edgefool": enhancing("edgefool", "edgefool", v3=15.0),
        "natural": enhancing("robust-edgefool", "natural", strength=7.0),
        "subtle": enhancing("robust-edgefool", "subtle", strength=5.0),
        "nfgsm": make_cell(),
    }
    found = results(cells)
    nulls = {label: found.null(cell) for label, cell in cells.items()}
    assert nulls == {
        "vivid null": "vivid null",
        "natural null": "natural null",
        "edgefool": "vivid null",
        "natural": "natural null",
        "subtle": None,
        "nfgsm": "vivid null",
    }


@pytest.mark.parametrize(("classes", "fits"), [({"pics": 5}, True), ({"pics": 4}, False), ({"pics": None}, False)])
def test_labels_fit_classifiers_of_as_many_classes(classes, fits):
    assert results(label_classes=classes).fits(make_cell()) is fits
    assert not results(label_classes=classes).fits(make_cell(dataset="of an older plan"))


def test_distances_of_new_records_come_from_the_quality_lines():
    """Those of 0.1.0's records are in the records; a line about another file does not count."""
    records = [make_record("new"), make_record("old", psnr=20.0, ssim=0.2), make_record("stale")]
    lines = [make_quality("new", psnr=30.0, ssim=0.3), make_quality("old"), make_quality("stale", png="x", psnr=40.0)]
    found = results(records=records, qualities=lines).records["pics/nfgsm/a"]
    assert [(record.psnr, record.ssim) for record in found] == [(30.0, 0.3), (20.0, 0.2), (None, None)]


def test_images_that_are_not_selected_are_left_out():
    cells = {"pics/nfgsm/a": make_cell(), "pics/nfgsm/b": make_cell(classifier="b")}
    records = [make_record(image, folder) for folder in cells for image in ("cat", "dog")]
    records += [make_record("fox", "pics/nfgsm/a", error="broken", png=None)]
    predictions = [make_prediction(image, folder) for folder in (None, *cells) for image in ("cat", "dog")]
    found = make_results(
        cells,
        records,
        predictions,
        [make_quality(image, folder) for folder in cells for image in ("cat", "dog")],
        squeezers=(),
        false_positive_rate=0.05,
        label_classes={},
        selected={"pics/nfgsm/a": {"cat"}},
    )
    assert found.left_out == 2
    assert [r.image for r in found.records["pics/nfgsm/a"]] == ["cat"]
    assert found.errors == {}
    assert list(found.of_adversarial("pics/nfgsm/a", "print of a")) == list(found.quality("pics/nfgsm/a")) == ["cat"]
    assert [r.image for r in found.records["pics/nfgsm/b"]] == ["cat", "dog"], "nothing is known of this cell"
    assert set(found.of_originals("pics", "print of a")) == {"cat", "dog"}


# From a folder


@pytest.fixture
def run(tmp_path):
    """Return a run without images."""
    plan = make_plan(
        {
            "datasets": [{"kind": "folder", "name": "pics", "path": "/x", "labels": "/x.csv", "num_classes": 5}],
            "classifiers": [{"name": "gone.py:net"}],
            "methods": [{"name": "nfgsm"}],
            "squeezers": ["median2"],
            "false_positive_rate": 0.125,
        }
    )
    run = RunFolder(tmp_path)
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    run.cell_lines.append([CellLine(folder="pics/nfgsm/a", cell=make_cell())])
    run.record_lines.append([make_record(success=True), make_record()])
    run.save_measures([make_prediction(predicted=3), make_prediction()], [make_quality(linf=0.5), make_quality()])
    return run


def test_a_folder_is_read_without_what_its_plan_names(run):
    found = load_results(run.path)
    assert found == load_results(str(run.path))
    assert (found.squeezers, found.false_positive_rate, found.label_classes) == (("median2",), 0.125, {"pics": 5})
    assert found.cells == {"pics/nfgsm/a": make_cell()}
    # The latest lines count.
    assert found.records == {"pics/nfgsm/a": [make_record()]}
    assert found.of_adversarial("pics/nfgsm/a", "print of a") == {"cat": make_prediction()}
    assert found.quality("pics/nfgsm/a") == {"cat": make_quality()}
    assert found.fits(make_cell())


def test_the_plan_says_which_images_count(run):
    run.record_lines.append([make_record("dog"), make_record("fox")])
    assert load_results(run.path).left_out == 0
    run.select({"pics": ["fox", "dog", "cat"]})
    assert load_results(run.path).left_out == 0
    run.enter([make_cell()], [2])
    found = load_results(run.path)
    assert found.left_out == 1
    assert [record.image for record in found.records["pics/nfgsm/a"]] == ["dog", "fox"]


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "gone", tmp_path / "gone" / "\x1b"):
        with pytest.raises(UsageError, match=r"is not a run folder \(it has no plan\.toml\)"):
            load_results(path)


@pytest.mark.parametrize("name", ["cells", "records", "predictions", "quality"])
def test_a_damaged_line_is_an_error(run, name, tmp_path):
    path = tmp_path / f"{name}.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(RunError, match=rf"line 1 of .*{name}\.jsonl is damaged"):
        load_results(run.path)


def test_half_a_last_line_is_still_being_written(run, tmp_path):
    before = load_results(run.path)
    for name in ("cells", "records", "predictions", "quality"):
        with (tmp_path / f"{name}.jsonl").open("a") as file:
            file.write('{"cell": "pics/nf')
    assert load_results(run.path) == before


def test_a_plan_that_cannot_be_read_is_an_error(run, tmp_path):
    (tmp_path / "plan.toml").write_text("no = = plan")
    with pytest.raises(UsageError, match=r"cannot read the plan .*plan\.toml"):
        load_results(run.path)
