"""`edgefool attack` with ensembles, targets and labels."""

import pytest

from edgefool.runs import RunFolder, load_records

STRONG = ["--method", "nfgsm", "--size", 32, "--set", "epsilon=0.2", "--set", "alpha=0.02"]


@pytest.fixture
def photos(tmp_path, make_photo):
    folder = tmp_path / "photos"
    for seed in range(6):
        make_photo(folder / f"{seed}.png", seed)
    return folder


@pytest.mark.parametrize(
    "options", [STRONG, ["--method", "robust-edgefool", "--set", "max_iterations=3", "--size", 32]]
)
def test_an_ensemble_of_classifiers_with_other_classes(tmp_path, tiny, photos, edgefool, options):
    members = ["--ensemble", f"one={tiny}:factory", "--ensemble", f"{tiny}:three"]
    command = ["attack", photos, "--out", tmp_path / "run", *members, *options]
    code, stdout, _ = edgefool(*command)
    assert code == 0
    records = RunFolder(tmp_path / "run").records()
    fooled = [all(m.original_class != m.adversarial_class for m in record.members) for record in records]
    assert [record.success for record in records] == fooled
    assert f"{sum(fooled)} of 6 photos fool all classifiers" in stdout
    assert {record.classifier for record in records} == {"one + three"}
    before = (tmp_path / "run/records.jsonl").read_bytes()
    assert edgefool(*command)[0] == 0  # resumed
    assert (tmp_path / "run/records.jsonl").read_bytes() == before


def test_a_target_by_index(tmp_path, tiny, photos, edgefool):
    options = ["--classifier", f"{tiny}:factory", "--target", 2]
    code, stdout, _ = edgefool("attack", photos, "--out", tmp_path / "run", *options, *STRONG)
    assert code == 0
    records = load_records(tmp_path / "run")
    assert records["success"].tolist() == (records["adversarial_class"] == 2).tolist()
    assert records["success"].any()
    assert (records["target_class"] == 2).all()
    assert f"{records['success'].sum()} of 6 photos are 2 for the classifier" in stdout


def test_labels(tmp_path, tiny, photos, edgefool):
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{k}.png,{k % 5}\n" for k in range(6)))
    options = ["--classifier", f"{tiny}:factory", "--from-labels", tmp_path / "labels.csv"]
    code, stdout, _ = edgefool("attack", photos, "--out", tmp_path / "run", *options, *STRONG)
    assert code == 0
    records = load_records(tmp_path / "run")
    wrong = records["original_class"] != records["label"]
    assert 0 < wrong.sum() < 6, "the test needs both"
    assert records["success_before"].tolist() == wrong.tolist()
    assert records["success"].tolist() == (records["adversarial_class"] != records["label"]).tolist()
    right = records[~wrong]["success"]
    assert f"{wrong.sum()} were wrong before the attack; of the other {len(right)}, {right.sum()} fool" in stdout


def test_labels_do_not_load_the_classifier_twice(tmp_path, tiny, photos, edgefool):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\nelsewhere.png,2\n")
    with tiny.open("a") as source:
        source.write(f"\nwith open({str(tmp_path / 'loads')!r}, 'a') as file:\n    file.write('once ')\n")
    options = ["--classifier", f"mine={tiny}:factory", "--from-labels", tmp_path / "labels.csv"]
    assert edgefool("attack", photos, "--out", tmp_path / "run", *options, *STRONG)[0] == 1  # five have no label
    assert (tmp_path / "loads").read_text() == "once "


def test_a_run_with_another_ensemble_names_the_options_that_continue_it(tmp_path, tiny, photos, edgefool, refuse):
    command = ["attack", photos, "--out", tmp_path / "run", *STRONG]
    members = ["--ensemble", f"{tiny}:factory", "--ensemble", f"{tiny}:three"]
    assert edgefool(*command, *members)[0] == 0
    refuse(*command, "--classifier", f"{tiny}:factory", because=f"continue it with {' '.join(members)}, or name")


WRONG = {
    "one member": (["--ensemble", "{tiny}:three"], "--ensemble: name at least two classifiers"),
    "beside a classifier": (
        ["--classifier", "resnet18", "--ensemble", "{tiny}:three", "--ensemble", "{tiny}:other"],
        "--ensemble and --classifier are mutually exclusive",
    ),
    "beside weights": (
        ["--weights", "a.pt", "--ensemble", "{tiny}:three", "--ensemble", "{tiny}:other"],
        "--ensemble and --weights are mutually exclusive",
    ),
    "the form": (["--ensemble", "{tiny}:three", "--ensemble", "a=@b"], "--ensemble a=@b: must be [LABEL=]NAME"),
    "one name twice": (
        ["--ensemble", "{tiny}:three", "--ensemble", "three={tiny}:other"],
        "two classifiers are called three; give them labels",
    ),
    "deepfool": (
        ["--method", "deepfool", "--ensemble", "{tiny}:three", "--ensemble", "{tiny}:other"],
        "deepfool attacks one classifier, not an ensemble",
    ),
    "sparsefool": (
        ["--method", "sparsefool", "--ensemble", "{tiny}:three", "--ensemble", "{tiny}:other"],
        "sparsefool attacks one classifier, not an ensemble",
    ),
    "targeted deepfool": (
        ["--method", "deepfool", "--classifier", "{tiny}:three", "--target", "1"],
        "deepfool cannot be targeted",
    ),
    "no such class": (["--classifier", "{tiny}:three", "--target", "7"], "classes 0 to 2, not 7"),
    "two criteria": (
        ["--classifier", "{tiny}:three", "--target", "1", "--from-labels", "a.csv"],
        "--target and --from-labels are mutually exclusive",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line(tmp_path, tiny, photos, refuse, case):
    options, message = WRONG[case]
    options = [option.format(tiny=tiny) for option in options]
    refuse("attack", photos, "--out", tmp_path / "run", "--size", 32, "--method", "nfgsm", *options, because=message)
    assert not (tmp_path / "run").exists()
