"""Method against method, on a made-up run whose numbers are counted by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from edgefool.classifiers import SemanticGroups
from edgefool.report import differences_table, make_results, make_tables, transferability_table
from edgefool.report.differences_table import MOST_RIVALS
from edgefool.report.page_tables import difference_rows
from edgefool.runs import Cell, ClassGroups, Prediction, Record

GROUPS = SemanticGroups(("animals", "vehicles"), (0, 0, 1, -1))
LABELS = (0, 0, 1, 2)
CLEAN = {"a": (0, 0, 1, 3), "b": (0, 1, 1, 2), "c": (0, 0, 2, 1)}
AFTER = {
    "enhance": CLEAN,
    "nfgsm": {"a": (1, 2, 2, 0), "b": (2, 1, 0, 0), "c": (2, 2, 2, 0)},
    "cw": {"a": (1, 0, 1, 3), "b": (1, 1, 2, 2), "c": (1, 0, 3, 1)},
}


def make_cell(method, attacked):
    members = [{"classifier": name, "fingerprint": name, "num_classes": 4} for name in attacked if len(attacked) > 1]
    return Cell(
        dataset="d", method=method, constants={}, fingerprint=attacked, size=32, seed=0, label=method,
        classifier=attacked, num_classes=4, members=members,
    )  # fmt: skip


def make_records(folder, clean, after, labels):
    _, method, attacked = folder.split("/")
    for k, label in enumerate(labels):
        pairs = [
            {"original_class": clean[name][k], "original_name": "", "original_probability": 1.0}
            | {"adversarial_class": after[name][k], "adversarial_name": "", "adversarial_probability": 1.0}
            for name in attacked
        ]
        together = {"members": [{"classifier": n} | pair for n, pair in zip(attacked, pairs, strict=True)]}
        yield Record(
            cell=folder, dataset="d", image=f"{k:02}", source="/", method=method, classifier=attacked, label=label,
            original_png=f"{k} before", png=f"{k} after", **(pairs[0] if len(pairs) == 1 else together),
        )  # fmt: skip


def make_predictions(folder, judge, classes):
    return [
        Prediction(
            cell=folder, dataset="d", image=f"{k:02}", png=f"{k} {'after' if folder else 'before'}", classifier=judge,
            fingerprint=judge, predicted=index, probability=1.0, scores={}, num_classes=4,
        )
        for k, index in enumerate(classes)
    ]  # fmt: skip


def make_run(attacked="a", after=AFTER, clean=CLEAN, labels=LABELS, num_classes=4, groups=GROUPS, lost=()):
    """Return results of methods that attacked a classifier, or the members whose letters are given; others judge.

    ``lost`` are cells and images without a record.
    """
    folders = {method: f"d/{method}/{attacked}" for method in after}
    records = [r for method, folder in folders.items() for r in make_records(folder, clean, after[method], labels)]
    predictions = [line for judge, classes in clean.items() for line in make_predictions(None, judge, classes)]
    for method, folder in folders.items():
        for judge, classes in after[method].items():
            predictions += make_predictions(folder, judge, classes)
    return make_results(
        {folder: make_cell(method, attacked) for method, folder in folders.items()},
        [record for record in records if (record.method, record.image) not in lost],
        predictions,
        [],
        groups=[ClassGroups(fingerprint=name, groups=groups) for name in clean],
        squeezers=(),
        false_positive_rate=0.05,
        label_classes={"d": num_classes},
    )


def line(table, **keys):
    (found,) = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)].to_dict("records")
    return found


def numbers(found, *names):
    return [found[name] for name in names]


CHANGED = ("images", "changed", "other_changed", "difference")
LEFT = ("images_group", "left_group", "other_left_group", "group_difference")
CORRECT = ("images_correct", "changed_correct", "other_changed_correct", "difference_correct")


@pytest.mark.parametrize(
    ("target", "changed", "left", "correct"),
    [
        ("a", (4, 1, 1 / 4, 3 / 4), (3, 2 / 3, 0, 2 / 3), (3, 1, 1 / 3, 2 / 3)),  # class 3 has no group
        ("b", (4, 3 / 4, 2 / 4, 1 / 4), (4, 2 / 4, 1 / 4, 1 / 4), (3, 1, 2 / 3, 1 / 3)),
        ("c", (4, 3 / 4, 2 / 4, 1 / 4), (4, 2 / 4, 1 / 4, 1 / 4), (2, 1, 1 / 2, 1 / 2)),
        ("mean", (4, 3 / 4, 2 / 4, 1 / 4), (4, 2 / 4, 1 / 4, 1 / 4), (4, 1, 2 / 4, 2 / 4)),  # by b, c or both
    ],
)
def test_shares_and_differences(target, changed, left, correct):
    found = line(differences_table(make_run()), method="nfgsm", other="cw", classifier="a", target=target)
    assert numbers(found, *CHANGED) == pytest.approx(changed)
    assert numbers(found, *LEFT) == pytest.approx(left)
    assert numbers(found, *CORRECT) == pytest.approx(correct)
    assert not found["member"]


def test_a_row_per_pair_and_target_in_the_order_of_the_plan():
    table = differences_table(make_run())
    assert table["target"].tolist() == ["a", "b", "c", "mean"] * 3
    assert list(zip(table["method"], table["other"], strict=True))[::4] == [
        ("enhance", "nfgsm"),
        ("enhance", "cw"),
        ("nfgsm", "cw"),
    ]


def test_an_ensemble_changes_when_all_members_do():
    table = differences_table(make_run("ab"))
    rows = table[(table["method"] == "nfgsm") & (table["other"] == "cw")]
    assert rows["target"].tolist() == ["ab", "a", "b", "c", "mean"]
    assert rows["member"].tolist() == [False, True, True, False, False]
    together, c, mean = (rows.iloc[k].to_dict() for k in (0, 3, 4))
    assert numbers(together, *CHANGED) == [4, 3 / 4, 1 / 4, 2 / 4]
    assert numbers(together, *LEFT) == pytest.approx([3, 0, 0, 0])
    assert numbers(together, *CORRECT) == [2, 1, 1 / 2, 1 / 2], "both are right on the first and the third"
    assert numbers(mean, *CHANGED, *CORRECT) == numbers(c, *CHANGED, *CORRECT), "members do not count"


def test_only_images_that_both_attacked_count():
    table = differences_table(make_run(lost={("nfgsm", "00"), ("cw", "03")}))
    assert numbers(line(table, method="nfgsm", other="cw", target="a"), *CHANGED) == [2, 1, 0, 1]
    found = line(table, method="nfgsm", other="cw", target="mean")
    assert numbers(found, *CHANGED) == [2, 1 / 2, 1 / 2, 0]
    assert (found["difference_low"], found["difference_high"]) == (-1 / 2, 1 / 2)


def test_without_labels_or_groups_of_the_classifiers():
    for results in (make_run(labels=(None,) * 4), make_run(num_classes=5), make_run(num_classes=None)):
        table = differences_table(results)
        assert (table["images_correct"] == 0).all()
        assert table[["changed_correct", "difference_correct", "difference_correct_low"]].isna().all(axis=None)
    table = differences_table(make_run(groups=None))
    assert (table["images_group"] == 0).all()
    assert table[["left_group", "group_difference", "group_difference_high"]].isna().all(axis=None)
    assert table["difference"].notna().all()


def test_a_single_method_has_no_rival():
    assert differences_table(make_run(after={"cw": AFTER["cw"]})).empty
    assert "differences" not in make_tables(make_run(after={"cw": AFTER["cw"]}))


@pytest.mark.parametrize(
    ("methods", "rows"), [(MOST_RIVALS, MOST_RIVALS * (MOST_RIVALS - 1) // 2), (MOST_RIVALS + 1, 0)]
)
def test_the_methods_of_a_sweep_are_not_compared(methods, rows):
    after = {f"nfgsm{k}": {"a": AFTER["nfgsm"]["a"]} for k in range(methods)}
    assert len(differences_table(make_run(after=after, clean={"a": CLEAN["a"]}))) == rows


def many(seed, share, count=60):
    return tuple(int(value) for value in np.random.default_rng(seed).random(count) < share)


def test_intervals_draw_both_results_of_an_image_together():
    clean = dict.fromkeys("abc", (0,) * 60)
    one = {"a": many(1, 0.5), "b": many(2, 0.6), "c": many(3, 0.7)}
    other = {"a": many(4, 0.3), "b": many(5, 0.5), "c": many(6, 0.2)}
    results = make_run(after={"nfgsm": one, "cw": other, "deepfool": one}, clean=clean, labels=(0,) * 60)
    table = differences_table(results)
    for target, weights in (("a", {"a": 1}), ("mean", {"b": 1 / 2, "c": 1 / 2})):
        apart = sum(weight * (np.array(one[name]) - np.array(other[name])) for name, weight in weights.items())
        expected = bootstrap((apart,), np.mean, n_resamples=9999, method="percentile", rng=1).confidence_interval
        found = line(table, method="nfgsm", other="cw", target=target)
        assert found["difference"] == pytest.approx(apart.mean())
        assert (found["difference_low"], found["difference_high"]) == pytest.approx(tuple(expected), abs=0.03)
        same = line(table, method="nfgsm", other="deepfool", target=target)
        assert numbers(same, "difference", "difference_low", "difference_high") == [0, 0, 0]
        assert 0 < same["changed"] < 1


def test_the_other_tables_count_what_the_target_had_right():
    table = transferability_table(make_run())
    found = line(table, method="cw", target="b")
    assert numbers(found, "images_correct", "changed_correct") == [3, pytest.approx(2 / 3)]
    assert found["changed_correct_low"] <= 2 / 3 <= found["changed_correct_high"]
    summary = line(make_tables(make_run())["summary"], method="cw")
    assert summary["transferred_correct"] == 2 / 4
    assert summary["transferred_correct_low"] < 2 / 4 < summary["transferred_correct_high"]
    assert (
        summary["transferred_group_low"] <= summary["transferred_group"] == 1 / 4 <= summary["transferred_group_high"]
    )
    unlabelled = make_run(num_classes=None)
    assert not [name for name in transferability_table(unlabelled) if "correct" in name]
    assert not [name for name in make_tables(unlabelled)["summary"] if "correct" in name]


def test_the_page_shows_each_method_against_each_other():
    results = make_run()
    titles, rows = difference_rows(results, differences_table(results))
    assert titles == ["Enhancement only", "N-FGSM", "CW"]
    ((key, (enhance, nfgsm, cw)),) = rows.items()
    assert key == ("d", "a")
    assert [number.text for number in nfgsm.numbers] == ["+75", "", "+25"]
    assert [number.text for number in cw.numbers] == ["+50", "-25", ""]
    assert [number.sign for number in enhance.numbers] == ["", "▼", ""]
    low, high = (number.interval.split(" to ") for number in (nfgsm.numbers[2], cw.numbers[1]))
    assert [float(end) for end in low] == [-float(end) for end in reversed(high)]
    assert (enhance.null, nfgsm.null, nfgsm.images) == (True, False, "4")
    assert difference_rows(results, differences_table(make_run("abc"))) == ([], {}), "no other classifier"
