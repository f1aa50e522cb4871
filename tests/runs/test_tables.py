"""Records as tables."""

import math

from edgefool.runs import Quality, Record, load_records, open_run

PLAN = "seed = 0\n"


def test_load_records_of_a_new_run(tmp_path, cell):
    with open_run(tmp_path / "run", PLAN, [cell]):
        pass
    frame = load_records(str(tmp_path / "run"))
    assert frame.empty
    assert list(frame) == list(Record.model_fields)
    assert (frame["iterations"].dtype, frame["psnr"].dtype, frame["success"].dtype) == ("Int64", "float64", "bool")


def test_load_records_has_a_row_per_image(tmp_path, cell, record):
    with open_run(tmp_path, PLAN, [cell]) as run:
        run.save(record("cat", success=True, psnr=math.inf, original_class=3), {})
        run.save(record("dog", error="damaged"), {})
    frame = load_records(tmp_path)
    assert frame["image"].tolist() == ["cat", "dog"]
    assert frame["success"].dtype == bool
    assert frame["psnr"][0] == math.inf
    assert frame["error"].isna().tolist() == [True, False]


def test_distances_come_from_the_lines_of_the_same_file(tmp_path, cell, record):
    distances = {"ciede2000": 1.0, "linf": 0.1, "changed_pixels": 1.0}
    with open_run(tmp_path, PLAN, [cell]) as run:
        for image, own in {"new": None, "old": 30.0, "replaced": None}.items():
            run.save(record(image, png=f"{image}-png", psnr=own), {})
        lines = [
            Quality(cell="photos/edgefool/tiny", image=image, png=png, psnr=20.0, ssim=0.5, **distances)
            for image, png in {"new": "new-png", "old": "old-png", "replaced": "another"}.items()
        ]
        run.save_measures([], lines)
    frame = load_records(tmp_path).set_index("image")
    assert frame["psnr"].fillna(-1).to_dict() == {"new": 20.0, "old": 30.0, "replaced": -1}
    assert frame["ssim"]["new"] == 0.5
