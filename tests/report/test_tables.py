"""Every number of the tables equals one computed by plain loops from the records and answers."""

import math
import statistics
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefool.experiments.cell import Cell
from edgefool.experiments.run_folder import Prediction, Quality, Record
from edgefool.measures import detectability
from edgefool.report import (
    TABLES,
    Results,
    detectability_table,
    make_results,
    misleading_table,
    quality_table,
    summary_table,
    transferability_table,
)

# Datasets by name: how many classes their labels count, and their classifiers with the numbers of theirs.
DATASETS = {"scenes": (4, {"a": 4, "b": 3, "c": 4}), "things": (None, {"a": 4, "b": 3})}
METHODS = ("enhance", "nfgsm")


class World(NamedTuple):
    """What a run may hold."""

    cells: dict[str, Cell]
    records: list[Record]
    predictions: list[Prediction]
    qualities: list[Quality]
    squeezers: tuple[str, ...]
    false_positive_rate: float

    def results(self) -> Results:
        return make_results(
            self.cells,
            self.records,
            self.predictions,
            self.qualities,
            squeezers=self.squeezers,
            false_positive_rate=self.false_positive_rate,
            label_classes={name: classes for name, (classes, _) in DATASETS.items()},
        )


def make_world(
    seed: int, images: int, gaps: float, squeezers: tuple[str, ...] = ("bits4", "median2"), rate: float = 0.2
) -> World:
    """Make up a run; ``gaps`` is the share of what is missing, failed, or about a file that was replaced since."""
    random = np.random.default_rng(seed)

    def maybe(share: float) -> bool:
        return bool(random.random() < share)

    def answer(cell: str | None, dataset: str, image: str, png: str, name: str, classes: int) -> list[Prediction]:
        if maybe(gaps):
            return []
        known = squeezers[:-1] if maybe(gaps) else squeezers
        return [
            Prediction(
                cell=cell,
                dataset=dataset,
                image=image,
                png="replaced" if maybe(gaps) else png,
                classifier=name,
                fingerprint=f"print of {name}",
                predicted=int(random.integers(classes)),
                probability=0.5,
                scores={squeezer: float(random.integers(6)) / 4 for squeezer in known},
            )
        ]

    cells: dict[str, Cell] = {}
    records: list[Record] = []
    predictions: list[Prediction] = []
    qualities: list[Quality] = []
    for dataset, (labels, classifiers) in DATASETS.items():
        names = [f"{dataset}{k}" for k in range(images)]
        known = {name: None if labels is None or maybe(gaps) else int(random.integers(labels)) for name in names}
        for method in METHODS:
            for classifier, classes in classifiers.items():
                folder = f"{dataset}/{method}/{classifier}"
                cells[folder] = Cell(
                    dataset=dataset,
                    method=method,
                    constants={},
                    fingerprint=f"print of {classifier}",
                    size=32,
                    seed=0,
                    label=method.upper(),
                    classifier=classifier,
                    num_classes=classes,
                )
                for image in names:
                    if maybe(gaps):
                        continue
                    told = {"cell": folder, "dataset": dataset, "image": image, "source": "/", "label": known[image]}
                    told |= {"method": method.upper(), "classifier": classifier}
                    if maybe(gaps):
                        records.append(Record(**told, error="broken"))
                        continue
                    before, after = (int(random.integers(classes)) for _ in range(2))
                    unchanged = maybe(0.2)
                    records.append(
                        Record(
                            **told,
                            original_png=f"original {image}",
                            png=f"png of {folder} {image}",
                            original_class=before,
                            adversarial_class=after,
                            success=before != after,
                            success_float=maybe(0.6),
                            converged=maybe(0.5),
                            lost_gradient=maybe(0.2),
                            iterations=None if maybe(gaps) else int(random.integers(1, 99)),
                            forward_passes=None if maybe(gaps) else int(random.integers(1, 99)),
                            backward_passes=None if maybe(gaps) else int(random.integers(1, 99)),
                            seconds=None if maybe(gaps) else float(random.random()),
                            psnr=math.inf if unchanged else float(random.uniform(10, 50)),
                            ssim=float(random.random()),
                        )
                    )
                    if not maybe(gaps):
                        qualities.append(
                            Quality(
                                cell=folder,
                                image=image,
                                png="replaced" if maybe(gaps) else f"png of {folder} {image}",
                                ciede2000=float(random.uniform(0, 9)),
                                linf=0.0 if unchanged else float(random.uniform(0.01, 1)),
                                changed_pixels=float(random.random()),
                                lpips=None if maybe(gaps) else float(random.random()),
                            )
                        )
                    for other, count in classifiers.items():
                        predictions += answer(folder, dataset, image, f"png of {folder} {image}", other, count)
        for image in names:
            for other, count in classifiers.items():
                predictions += answer(None, dataset, image, f"original {image}", other, count)
    order = random.permutation(len(predictions))
    return World(cells, records, [predictions[k] for k in order], qualities, squeezers, rate)


# Plain loops


def of(world: World, folder: str) -> list[Record]:
    return [record for record in world.records if record.cell == folder and record.error is None]


def answers(world: World, folder: str | None, dataset: str, fingerprint: str) -> dict[str, Prediction]:
    """Return the answers about the files that are there, by image."""
    found = {}
    for line in world.predictions:
        if (line.cell, line.dataset, line.fingerprint) != (folder, dataset, fingerprint):
            continue
        for record in world.records:
            mine = record.dataset == dataset and record.image == line.image and folder in (None, record.cell)
            if mine and line.png == (record.original_png if folder is None else record.png):
                found[line.image] = line
    return found


def mean(values: list[Any]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def share(name: str, hits: list[bool]) -> dict[str, float]:
    """Return a share and the quantiles of the binomial distribution of as many images with this share."""
    if not hits:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    count, part = len(hits), Fraction(sum(hits), len(hits))
    ends = []
    for quantile in (Fraction(25, 1000), Fraction(975, 1000)):
        sum_, k = (1 - part) ** count, 0
        while sum_ < quantile:
            k += 1
            sum_ += math.comb(count, k) * part**k * (1 - part) ** (count - k)
        ends.append(k / count)
    return {name: float(part), f"{name}_low": ends[0], f"{name}_high": ends[1]}


def names(cell: Cell) -> dict[str, str]:
    return {"dataset": cell.dataset, "method": cell.label, "classifier": cell.classifier}


def expect_misleading(world: World) -> list[dict[str, Any]]:
    rows = []
    for folder, cell in world.cells.items():
        records = of(world, folder)
        steps = [r.iterations for r in records if r.iterations is not None]
        rows.append(
            {
                **names(cell),
                "images": len(records),
                "errors": sum(r.cell == folder and r.error is not None for r in world.records),
                **share("misled", [r.original_class != r.adversarial_class for r in records]),
                **share("misled_float", [r.success_float for r in records]),
                "converged": mean([r.converged for r in records]),
                "lost_gradient": sum(r.lost_gradient for r in records),
                "iterations": statistics.median(steps) if steps else math.nan,
                "forward_passes": mean([r.forward_passes for r in records]),
                "backward_passes": mean([r.backward_passes for r in records]),
                "seconds": mean([r.seconds for r in records]),
            }
        )
    return rows


def expect_transferability(world: World) -> list[dict[str, Any]]:
    rows = []
    for folder, cell in world.cells.items():
        labels, classifiers = DATASETS[cell.dataset]
        for target, classes in classifiers.items():
            if target == cell.classifier:
                continue
            print_ = f"print of {target}"
            clean = answers(world, None, cell.dataset, print_)
            adversarial = answers(world, folder, cell.dataset, print_)
            enhanced = answers(world, f"{cell.dataset}/enhance/{cell.classifier}", cell.dataset, print_)
            records = [r for r in of(world, folder) if r.image in clean and r.image in adversarial]
            labelled = [r for r in records if r.label is not None] if labels == classes else []
            comparable = records if classifiers[cell.classifier] == classes else []
            rows.append(
                {
                    **names(cell),
                    "target": target,
                    "images": len(records),
                    **share("changed", [adversarial[r.image].predicted != clean[r.image].predicted for r in records]),
                    "null": mean(
                        [
                            enhanced[r.image].predicted != clean[r.image].predicted
                            for r in records
                            if r.image in enhanced
                        ]
                    ),
                    **share("source", [adversarial[r.image].predicted != r.original_class for r in comparable]),
                    **share("truth", [adversarial[r.image].predicted != r.label for r in labelled]),
                    "truth_clean": mean([clean[r.image].predicted != r.label for r in labelled]),
                }
            )
    return rows


def expect_detectability(world: World) -> list[dict[str, Any]]:
    rows = []
    for folder, cell in world.cells.items():
        clean, adversarial = (
            {
                image: [line.scores[name] for name in world.squeezers]
                for image, line in sorted(answers(world, which, cell.dataset, cell.fingerprint).items())
                if all(name in line.scores for name in world.squeezers)
            }
            for which in (None, folder)
        )
        if not clean or not world.squeezers:
            continue
        misled = {r.image for r in of(world, folder) if r.original_class != r.adversarial_class}
        unknown = [math.nan] * len(world.squeezers)
        bootstrapped = [
            detectability(
                list(clean.values()),
                [adversarial.get(image, unknown) for image in clean],
                false_positive_rate=world.false_positive_rate,
                which=which,
            )
            for which in (None, np.array([image in misled for image in clean]))
        ]
        for k, squeezer in enumerate([*world.squeezers, "joint"]):
            before, after = (
                {image: max(scores) if squeezer == "joint" else scores[k] for image, scores in known.items()}
                for known in (clean, adversarial)
            )
            allowed = math.floor(len(before) * Fraction(str(world.false_positive_rate)))
            threshold = sorted(before.values())[len(before) - 1 - allowed]
            assert sum(score > threshold for score in before.values()) <= allowed
            row = {**names(cell), "squeezer": squeezer, "threshold": threshold, "originals": len(before)}
            for (name, count, chosen), rates in zip(
                (("detected", "images", set(before)), ("detected_misled", "misled_images", misled)),
                bootstrapped,
                strict=True,
            ):
                hits = [after[image] > threshold for image in before if image in after and image in chosen]
                low, high = rates[k][1:3]
                row |= {count: len(hits), name: mean(hits), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return rows


def expect_quality(world: World) -> list[dict[str, Any]]:
    rows = []
    for folder, cell in world.cells.items():
        records = of(world, folder)
        known = [q for q in world.qualities if q.cell == folder and any(r.png == q.png for r in records)]
        rows.append(
            {
                **names(cell),
                "images": len(known),
                "unchanged": mean([q.linf == 0 for q in known]),
                "psnr": mean([r.psnr for r in records if r.psnr != math.inf]),
                "ssim": mean([r.ssim for r in records]),
                "lpips": mean([q.lpips for q in known]),
                "ciede2000": mean([q.ciede2000 for q in known]),
                "linf": mean([q.linf for q in known]),
                "changed_pixels": mean([q.changed_pixels for q in known]),
            }
        )
    return rows


def expect_summary(world: World) -> list[dict[str, Any]]:
    transfer, detection = expect_transferability(world), expect_detectability(world)
    rows = []
    for misled, quality in zip(expect_misleading(world), expect_quality(world), strict=True):
        key = [misled[name] for name in ("dataset", "method", "classifier")]

        def gist(table: list[dict[str, Any]], name: str, key: list[str] = key) -> float:
            mine = [row[name] for row in table if [row[k] for k in ("dataset", "method", "classifier")] == key]
            return mean([value for value in mine if not math.isnan(value)])

        squeezers = [row for row in detection if row["squeezer"] != "joint"]
        first = ("dataset", "method", "classifier", "images", "errors", "misled", "misled_low", "misled_high")
        rows.append(
            {
                **{name: misled[name] for name in (*first, "misled_float")},
                "transferred": gist(transfer, "changed"),
                "null": gist(transfer, "null"),
                "detected": gist(squeezers, "detected"),
                **{name: quality[name] for name in ("psnr", "ssim", "lpips")},
                **{name: misled[name] for name in ("iterations", "seconds")},
            }
        )
    return rows


def compare(table: pd.DataFrame, rows: list[dict[str, Any]]) -> None:
    """Assert that a table has these rows in their order and these columns."""
    assert len(table) == len(rows)
    if rows:
        assert set(table.columns) == set(rows[0])
        pd.testing.assert_frame_equal(table, pd.DataFrame(rows), check_like=True, check_dtype=False, rtol=1e-9)


WORLDS = {
    "seed": st.integers(0, 2**32 - 1),
    "images": st.integers(0, 9),
    "gaps": st.sampled_from([0.0, 0.1, 0.4, 1.0]),
}


@given(**WORLDS)
def test_misleading_equals_plain_loops(seed, images, gaps):
    world = make_world(seed, images, gaps)
    compare(misleading_table(world.results()), expect_misleading(world))


@given(**WORLDS)
def test_transferability_equals_plain_loops(seed, images, gaps):
    world = make_world(seed, images, gaps)
    compare(transferability_table(world.results()), expect_transferability(world))


@given(**WORLDS)
def test_quality_equals_plain_loops(seed, images, gaps):
    world = make_world(seed, images, gaps)
    compare(quality_table(world.results()), expect_quality(world))


@given(
    **WORLDS,
    squeezers=st.sampled_from([("bits4",), ("bits4", "median2"), ("median3", "bits1", "bits7")]),
    rate=st.sampled_from([0.0, 0.05, 0.25, 0.9]),
)
@settings(max_examples=30)
def test_detectability_and_summary_equal_plain_loops(seed, images, gaps, squeezers, rate):
    world = make_world(seed, images, gaps, squeezers, rate)
    results = world.results()
    compare(detectability_table(results), expect_detectability(world))
    compare(summary_table({name: make(results) for name, make in TABLES.items()}), expect_summary(world))


# By hand


def test_a_world_without_gaps_has_them_all():
    """Else the comparisons above could compare nothing with nothing."""
    results = make_world(0, 30, 0.0).results()
    tables = {name: make(results) for name, make in TABLES.items()}
    assert list(tables) == ["misleading", "transferability", "detectability", "quality"]
    assert (tables["misleading"]["images"] == 30).all()
    assert not tables["misleading"].isna().any(axis=None)
    assert not tables["quality"].isna().any(axis=None)
    assert not tables["detectability"].isna().any(axis=None)
    sometimes = [f"{name}{end}" for name in ("source", "truth") for end in ("", "_low", "_high")] + ["truth_clean"]
    assert not tables["transferability"].drop(columns=sometimes).isna().any(axis=None)
    source = tables["transferability"].set_index(["dataset", "classifier", "target"])["source"]
    assert source.notna().tolist() == [
        DATASETS[dataset][1][classifier] == DATASETS[dataset][1][target] for dataset, classifier, target in source.index
    ]
    assert source.notna().any()
    truth = tables["transferability"].set_index(["dataset", "target"])["truth"]
    assert truth.loc["scenes", ["a", "c"]].notna().all()
    assert truth.loc["scenes", "b"].isna().all(), "its classes are not those of the labels"
    assert truth.loc["things"].isna().all(), "no labels"
    summary = summary_table(tables)
    assert len(summary) == len(results.cells)
    assert not summary.isna().any(axis=None)


def test_the_order_of_lines_changes_nothing():
    """Not even the intervals, though they are bootstrapped."""
    world = make_world(5, 15, 0.1)
    turned = world._replace(**{name: getattr(world, name)[::-1] for name in ("records", "predictions", "qualities")})
    for make in TABLES.values():
        pd.testing.assert_frame_equal(make(turned.results()), make(world.results()), rtol=1e-12)


def test_the_null_of_the_null_method_is_itself():
    table = transferability_table(make_world(3, 20, 0.0).results())
    enhanced = table[table["method"] == "ENHANCE"]
    assert len(enhanced) == 8
    assert (enhanced["null"] == enhanced["changed"]).all()


def test_without_the_null_method_there_is_no_null():
    world = make_world(0, 5, 0.0)
    cells = {folder: cell for folder, cell in world.cells.items() if cell.method != "enhance"}
    table = transferability_table(world._replace(cells=cells).results())
    assert len(table) == 8
    assert table["null"].isna().all()
    assert table["changed"].notna().all()


@pytest.mark.parametrize("folder", ["scenes/nfgsm/a", "scenes/enhance/b"])
def test_answers_about_other_files_do_not_count(folder):
    """An answer about an image that was replaced since leaves the numbers, and so does the distance."""
    world = make_world(1, 8, 0.0)
    before = {name: make(world.results()) for name, make in TABLES.items()}
    cell = world.cells[folder]
    records = [r.model_copy(update={"png": "new"}) if r.cell == folder else r for r in world.records]
    after = {name: make(world._replace(records=records).results()) for name, make in TABLES.items()}
    for name, count in (("transferability", "images"), ("detectability", "images"), ("quality", "images")):
        mine = (after[name]["method"] == cell.label) & (after[name]["classifier"] == cell.classifier)
        mine &= after[name]["dataset"] == cell.dataset
        assert mine.any()
        assert (before[name][mine][count] == 8).all()
        assert (after[name][mine][count] == 0).all()
        others = [column for column in after[name] if column != "null"]  # it is that of these images
        pd.testing.assert_frame_equal(after[name][~mine][others], before[name][~mine][others])


def test_tables_without_rows_name_their_columns():
    """A single classifier has no other to mislead; without squeezers nothing is detected."""
    full, world = make_world(0, 4, 0.0), make_world(0, 4, 0.0, squeezers=("bits4",))
    cells = {folder: cell for folder, cell in world.cells.items() if folder == "scenes/nfgsm/a"}
    alone = world._replace(cells=cells, squeezers=()).results()
    for make in (transferability_table, detectability_table):
        empty = make(alone)
        assert len(empty) == 0
        assert list(empty.columns) == list(make(full.results()).columns)
    summary = summary_table({name: make(alone) for name, make in TABLES.items()})
    assert len(summary) == 1
    assert summary[["transferred", "null", "detected"]].isna().all(axis=None)
    assert summary["misled"].notna().all()
