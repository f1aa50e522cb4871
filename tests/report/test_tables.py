"""Every number of the tables equals one computed by plain loops from the records and predictions."""

import itertools
import math
import statistics
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefool.report import (
    Results,
    detectability_table,
    make_results,
    make_tables,
    misleading_table,
    quality_table,
    transferability_table,
)
from edgefool.runs import Cell, Prediction, Quality, Record

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
                    common = {"cell": folder, "dataset": dataset, "image": image, "source": "/", "label": known[image]}
                    common |= {"method": method.upper(), "classifier": classifier}
                    if maybe(gaps):
                        records.append(Record(**common, error="broken"))
                        continue
                    before, after = (int(random.integers(classes)) for _ in range(2))
                    unchanged = maybe(0.2)
                    records.append(
                        Record(
                            **common,
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
                                smooth_delta_e=None if maybe(gaps) else float(random.uniform(0.1, 9)),
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


class Between(NamedTuple):
    """What a number lies between that is not known exactly, as it depends on how resamples are drawn."""

    low: float
    high: float


def ends(name: str, resamples: dict[float, float], most: float) -> dict[str, Between]:
    """Return where the ends of a 95 % interval lie, from all possible resamples and their probabilities.

    The 2.5 % quantile of those drawn is practically never below the exact quantile at 0.2 %, nor above that at
    ``most``: 5.5 % if 1,000 are drawn, 7.5 % if 600 are.
    """
    values = sorted(resamples)
    below = list(itertools.accumulate(resamples[value] / sum(resamples.values()) for value in values))

    def quantile(share: float) -> float:
        return next((value for value, part in zip(values, below, strict=True) if part >= share), math.nan)

    return {
        f"{name}_low": Between(quantile(0.002), quantile(most)),
        f"{name}_high": Between(quantile(1 - most), quantile(0.998)),
    }


def average(name: str, values: list[float]) -> dict[str, Any]:
    """Return a mean, and where the ends of its bootstrap interval lie."""
    sums = {0.0: 1.0}
    for _ in values:
        longer: dict[float, float] = defaultdict(float)
        for (total, chance), (value, times) in itertools.product(sums.items(), Counter(values).items()):
            longer[total + value] += chance * times / len(values)
        sums = longer
    means = {total / len(values): chance for total, chance in sums.items()} if values else {}
    return {name: mean(values), **ends(name, means, 0.055)}


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
            right = [r for r in labelled if clean[r.image].predicted == r.label]
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
                    **average(
                        "gain",
                        [
                            (adversarial[r.image].predicted != clean[r.image].predicted)
                            - (enhanced[r.image].predicted != clean[r.image].predicted)
                            for r in records
                            if r.image in enhanced
                        ],
                    ),
                    **share("source", [adversarial[r.image].predicted != r.original_class for r in comparable]),
                    **share("truth", [adversarial[r.image].predicted != r.label for r in labelled]),
                    "truth_clean": mean([clean[r.image].predicted != r.label for r in labelled]),
                    "images_correct": len(right),
                    **share("changed_correct", [adversarial[r.image].predicted != r.label for r in right]),
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
        counted = (("detected", "images", set(clean)), ("detected_misled", "misled_images", misled))
        resamples = [
            detected_in_resamples(clean, {i: adversarial[i] for i in images & adversarial.keys()}, world)
            for _, _, images in counted
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
            for (name, count, images), shares in zip(counted, resamples, strict=True):
                hits = [after[image] > threshold for image in before if image in after and image in images]
                row |= {count: len(hits), name: mean(hits), **ends(name, shares[k], 0.075), "paper": math.nan}
            rows.append(row)
        mine = rows[-1 - len(world.squeezers) : -1]
        gist = {"squeezer": "mean", "threshold": math.nan}
        for (name, _, _), shares in zip(counted, resamples, strict=True):
            gist |= {name: mean([row[name] for row in mine]), **ends(name, shares[-1], 0.075)}
        rows.append(rows[-1] | gist)
    return rows


def detected_in_resamples(
    clean: dict[str, list[float]], adversarial: dict[str, list[float]], world: World
) -> list[dict[float, float]]:
    """Return the probabilities of the shares detected in all resamples of the images.

    By each squeezer, by the largest score, and the mean over the squeezers. A resample without any of the adversarial
    images does not count.
    """
    clean, adversarial = ({i: [*row, max(row)] for i, row in scores.items()} for scores in (clean, adversarial))
    found: list[dict[float, float]] = [defaultdict(float) for _ in range(len(world.squeezers) + 2)]
    rank = len(clean) - 1 - math.floor(len(clean) * Fraction(str(world.false_positive_rate)))
    for resample in itertools.combinations_with_replacement(clean, len(clean)):
        attacked = [image for image in resample if image in adversarial]
        if not attacked:
            continue
        chance = 1 / math.prod(math.factorial(times) for times in Counter(resample).values())
        shares = []
        for k in range(len(world.squeezers) + 1):
            threshold = sorted(clean[image][k] for image in resample)[rank]
            shares.append(mean([adversarial[image][k] > threshold for image in attacked]))
        for known, share in zip(found, [*shares, mean(shares[:-1])], strict=True):
            known[share] += chance
    return found


def qualities(world: World, folder: str) -> list[Quality]:
    return [q for q in world.qualities if q.cell == folder and any(r.png == q.png for r in of(world, folder))]


def expect_quality(world: World) -> list[dict[str, Any]]:
    rows = []
    for folder, cell in world.cells.items():
        records, known = of(world, folder), qualities(world, folder)
        enhanced = qualities(world, f"{cell.dataset}/enhance/{cell.classifier}")
        pairs = [
            (q.smooth_delta_e, null.smooth_delta_e)
            for q, null in itertools.product(known, enhanced)
            if q.image == null.image and None not in (q.smooth_delta_e, null.smooth_delta_e)
        ]
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
                "smooth_images": sum(q.smooth_delta_e is not None for q in known),
                "smooth_delta_e": mean([q.smooth_delta_e for q in known]),
                "smooth_ratio": mean([q for q, _ in pairs]) / mean([null for _, null in pairs]),
            }
        )
    if not any(row["smooth_images"] for row in rows):
        return [{name: value for name, value in row.items() if not name.startswith("smooth")} for row in rows]
    return rows


def expect_mean_transfer(world: World, folder: str, cell: Cell) -> dict[str, Any]:
    targets = [name for name in DATASETS[cell.dataset][1] if name != cell.classifier]
    shares, nulls, when_right = {}, {}, {}
    labels = {record.image: record.label for record in of(world, folder)}
    for image in sorted({record.image for record in world.records if record.dataset == cell.dataset}):
        for known, made_by in ((shares, folder), (nulls, f"{cell.dataset}/enhance/{cell.classifier}")):
            hits, right = [], []
            for target in targets:
                clean = answers(world, None, cell.dataset, f"print of {target}")
                adversarial = answers(world, made_by, cell.dataset, f"print of {target}")
                if image in clean and image in adversarial:
                    hits.append(clean[image].predicted != adversarial[image].predicted)
                    fits = DATASETS[cell.dataset][0] == DATASETS[cell.dataset][1][target]
                    right += hits[-1:] if fits and clean[image].predicted == labels.get(image) else []
            if len(hits) == len(targets):
                known[image] = mean(hits)
                if right and known is shares:
                    when_right[image] = mean(right)
    both = [image for image in shares if image in nulls]
    return {
        **average("transferred", list(shares.values())),
        "null": mean([nulls[image] for image in both]),
        **average("gain", [shares[image] - nulls[image] for image in both]),
        **average("transferred_correct", list(when_right.values())),
    }


def expect_summary(world: World) -> list[dict[str, Any]]:
    detection = expect_detectability(world)
    rows = []
    for (folder, cell), misled, quality in zip(
        world.cells.items(), expect_misleading(world), expect_quality(world), strict=True
    ):
        detected = [row for row in detection if names(cell).items() <= row.items() and row["squeezer"] == "mean"]
        first = ("dataset", "method", "classifier", "images", "errors", "misled", "misled_low", "misled_high")
        rows.append(
            {
                **{name: misled[name] for name in (*first, "misled_float")},
                **expect_mean_transfer(world, folder, cell),
                **{
                    name: detected[0][name] if detected else math.nan
                    for name in ("detected", "detected_low", "detected_high")
                },
                **{name: quality[name] for name in ("psnr", "ssim", "lpips")},
                **{name: misled[name] for name in ("iterations", "seconds")},
            }
        )
    return rows


def compare(table: pd.DataFrame, rows: list[dict[str, Any]]) -> None:
    """Assert that a table has these rows in their order and these columns."""
    assert len(table) == len(rows)
    for found, expected in zip(table.to_dict("records"), rows, strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            if isinstance(value, Between) and not math.isnan(value.low):
                assert value.low - 1e-9 <= found[name] <= value.high + 1e-9, name
            else:
                value = value.low if isinstance(value, Between) else value
                assert found[name] == (value if isinstance(value, str) else pytest.approx(value, nan_ok=True)), name


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
    **WORLDS | {"images": st.integers(0, 4)},  # as all resamples are looked at
    squeezers=st.sampled_from([("bits4",), ("bits4", "median2"), ("median3", "bits1", "bits7")]),
    rate=st.sampled_from([0.0, 0.05, 0.25, 0.9]),
)
@settings(max_examples=30)
def test_detectability_and_summary_equal_plain_loops(seed, images, gaps, squeezers, rate):
    world = make_world(seed, images, gaps, squeezers, rate)
    results = world.results()
    compare(detectability_table(results), expect_detectability(world))
    compare(make_tables(results)["summary"], expect_summary(world))


def test_intervals_of_more_images():
    """Those of few images are wide."""
    world = make_world(4, 25, 0.1)
    results = world.results()
    compare(transferability_table(results), expect_transferability(world))
    means = ("transferred", "gain", "transferred_correct")
    columns = [f"{name}{end}" for name in means for end in ("", "_low", "_high")] + ["null"]
    expected = [expect_mean_transfer(world, folder, cell) for folder, cell in world.cells.items()]
    compare(make_tables(results)["summary"][columns], expected)


# By hand


def test_a_world_without_gaps_has_them_all():
    """Else the comparisons above could compare nothing with nothing."""
    results = make_world(0, 30, 0.0).results()
    tables = make_tables(results)
    assert list(tables) == ["misleading", "transferability", "detectability", "quality", "differences", "summary"]
    assert (tables["misleading"]["images"] == 30).all()
    assert not tables["misleading"].isna().any(axis=None)
    assert not tables["quality"].isna().any(axis=None)
    means = tables["detectability"]["squeezer"] == "mean"
    assert not tables["detectability"].drop(columns=["threshold", "paper"]).isna().any(axis=None)
    assert (tables["detectability"]["threshold"].isna() == means).all()
    by_label = ("source", "truth", "changed_correct")
    sometimes = [f"{name}{end}" for name in by_label for end in ("", "_low", "_high")] + ["truth_clean"]
    assert not tables["transferability"].drop(columns=sometimes).isna().any(axis=None)
    source = tables["transferability"].set_index(["dataset", "classifier", "target"])["source"].sort_index()
    assert source.notna().tolist() == [
        DATASETS[dataset][1][classifier] == DATASETS[dataset][1][target] for dataset, classifier, target in source.index
    ]
    assert source.notna().any()
    truth = tables["transferability"].set_index(["dataset", "target"])["truth"].sort_index()
    assert truth.loc["scenes", ["a", "c"]].notna().all()
    assert truth.loc["scenes", "b"].isna().all(), "its classes are not those of the labels"
    assert truth.loc["things"].isna().all(), "no labels"
    summary = tables["summary"]
    assert len(summary) == len(results.cells)
    correct = [name for name in summary if name.startswith("transferred_correct")]
    assert not summary.drop(columns=correct).isna().any(axis=None)
    assert (summary["dataset"] == "things").equals(summary[correct].isna().all(axis=1)), "no labels"


def test_the_order_of_lines_changes_nothing():
    """Not even the intervals, though they are bootstrapped."""
    world = make_world(5, 15, 0.1)
    turned = world._replace(**{name: getattr(world, name)[::-1] for name in ("records", "predictions", "qualities")})
    expected = make_tables(world.results())
    for name, table in make_tables(turned.results()).items():
        pd.testing.assert_frame_equal(table, expected[name], rtol=1e-12)


def test_the_null_of_the_null_method_is_itself():
    table = transferability_table(make_world(3, 20, 0.0).results())
    enhanced = table[table["method"] == "ENHANCE"]
    assert len(enhanced) == 8
    assert (enhanced["null"] == enhanced["changed"]).all()
    assert (enhanced[["gain", "gain_low", "gain_high"]] == 0).all(axis=None)


def test_the_papers_figures_stand_beside_cells_of_its_table():
    """By what the plan loads, whatever it is called; SqueezeNet, say, has none."""
    world = make_world(0, 4, 0.0)
    known = {"label_classes": {"scenes": None}, "squeezers": world.squeezers, "false_positive_rate": 0.05}
    cells = {folder: cell.model_copy(update={"method": "edgefool"}) for folder, cell in world.cells.items()}
    results = make_results(
        cells,
        world.records,
        world.predictions,
        world.qualities,
        **known,
        kinds={"scenes": "private-places365"},
        networks={
            ("scenes", "a"): "resnet18-places365",
            ("scenes", "b"): "alexnet-places365",
            ("scenes", "c"): "torchvision:squeezenet1_1",
            ("things", "a"): "resnet18",
        },
    )
    table = detectability_table(results).set_index(["dataset", "classifier", "squeezer"])["paper"].sort_index()
    assert set(table.loc["scenes", "a", "median2"]) == {0.27}
    assert set(table.loc["scenes", "b", "median2"]) == {0.21}
    assert set(table.loc["scenes", "a", "mean"]) == {0.27 / 2}
    assert table.loc["scenes", "c"].isna().all()
    assert table.loc["scenes", "a", "joint"].isna().all()
    assert table.loc["things"].isna().all(), "another dataset"


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
    before = make_tables(world.results())
    cell = world.cells[folder]
    records = [r.model_copy(update={"png": "new"}) if r.cell == folder else r for r in world.records]
    after = make_tables(world._replace(records=records).results())
    for name, count in (("transferability", "images"), ("detectability", "images"), ("quality", "images")):
        mine = (after[name]["method"] == cell.label) & (after[name]["classifier"] == cell.classifier)
        mine &= after[name]["dataset"] == cell.dataset
        assert mine.any()
        assert (before[name][mine][count] == 8).all()
        assert (after[name][mine][count] == 0).all()
        # Those of the null method are of these images.
        others = [column for column in after[name] if not column.startswith(("null", "gain", "smooth_ratio"))]
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
    summary = make_tables(alone)["summary"]
    assert len(summary) == 1
    assert summary[["transferred", "null", "detected"]].isna().all(axis=None)
    assert summary["misled"].notna().all()
