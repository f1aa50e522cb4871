"""Measured lines hold what later versions can read and compare."""

import math

import pytest

from edgefool.runs import Quality

LINE = {"cell": "d/cw/a", "image": "cat", "png": "", "ciede2000": 1.0, "linf": 0.1, "changed_pixels": 1.0}


@pytest.mark.parametrize("given", [{}, {"smooth_delta_e": None}, {"smooth_delta_e": math.nan}])
def test_a_photo_without_smooth_pixels_is_like_an_older_line(given):
    line = Quality(**LINE, **given)
    assert line.smooth_delta_e is None
    assert Quality.model_validate_json(line.model_dump_json()) == line


def test_other_numbers_stay():
    line = Quality(**LINE, smooth_delta_e=0.0, psnr=math.inf)
    assert (line.smooth_delta_e, line.psnr) == (0.0, math.inf)
    assert Quality.model_validate_json(line.model_dump_json()) == line
