"""`edgefool classify`."""

import csv
import json


def test_table_files_and_accuracy(tmp_path, tiny, album, edgefool):
    """The accuracy is that of the saved answers against the labels."""
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n1.png,2\n3.png,0\n5.png,\n")
    options = ["--labels", tmp_path / "labels.csv", "--top", 2]
    options += ["--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json"]
    names = ["--classifier", f"{tiny}:factory", "--classifier", f"{tiny}:other"]
    code, stdout, stderr = edgefool("classify", album, *names, *options)
    assert (code, stderr) == (0, "")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert len(rows) == 6 * 2 * 2
    assert [row["rank"] for row in rows] == ["1", "2"] * 12
    first = [row for row in rows if row["rank"] == "1"]
    for name in ("classifier-factory", "classifier-other"):
        mine = [row for row in first if row["classifier"] == name and row["label"]]
        share = sum(row["class"] == row["label"] for row in mine) / 3
        (line,) = [line for line in stdout.splitlines() if line.lstrip().startswith(f"{name} ")]
        assert line.split()[1:3] == ["3", f"{share:.3f}"]
        assert len(mine) == 3
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [str(entry["class"]) for answer in answers for entry in answer["classes"]] == [row["class"] for row in rows]
    assert {(answer["weights"], answer["licence"]) for answer in answers} == {(None, None)}, "of one's own"
    assert f"0.png classifier-factory {first[0]['name']} " in " ".join(stdout.split())


def test_a_photo_that_cannot_be_read_is_an_error(tiny, album, edgefool):
    (album / "3.png").write_text("no photo")
    code, stdout, _ = edgefool("classify", album, "--classifier", f"{tiny}:factory")
    assert code == 1
    assert "3.png classifier-factory error: not an image" in " ".join(stdout.split())
    assert stdout.count("%") == 5 * 5


def test_labels_beyond_the_classes_are_not_compared(tmp_path, tiny, album, edgefool):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,4\n1.png,2\n")
    names = ["--classifier", f"{tiny}:factory", "--classifier", f"{tiny}:three"]
    code, stdout, stderr = edgefool("classify", album, *names, "--labels", tmp_path / "labels.csv")
    assert code == 0
    assert "note: classifier-three has 3 classes, but there is a label 4" in stderr
    assert not [line for line in stdout.splitlines() if line.lstrip().startswith("classifier-three ")]


def test_labels_of_a_larger_folder(tmp_path, tiny, album, edgefool):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\nelsewhere.png,2\n")
    code, stdout, stderr = edgefool(
        "classify", album, "--classifier", f"{tiny}:factory", "--labels", tmp_path / "labels.csv"
    )
    assert (code, stderr) == (0, "")
    assert stdout.splitlines()[-1].split()[:2] == ["classifier-factory", "1"]


def test_a_file_without_any_known_label(tmp_path, tiny, album, edgefool):
    (tmp_path / "labels.csv").write_text("file,label\n0.png,\n")
    code, stdout, stderr = edgefool(
        "classify", album, "--classifier", f"{tiny}:factory", "--labels", tmp_path / "labels.csv"
    )
    assert (code, stderr) == (0, "")
    assert stdout.splitlines()[-1].split()[:2] == ["classifier-factory", "0"]


def test_interruption_does_not_promise_to_resume(tiny, album, edgefool, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgefool.execution.classification.classify", interrupt)
    assert edgefool("classify", album, "--classifier", f"{tiny}:factory") == (130, "", "stopped\n")
