"""Table 1 as LaTeX says what the table says."""

import re

import numpy as np
import pandas as pd

from edgefool.report import detectability_latex


def rows(*names, paper=np.nan):
    return pd.DataFrame(
        [
            {"dataset": "a_b", "method": method, "classifier": classifier, "squeezer": squeezer}
            | {"detected": value, "paper": paper}
            for method, classifier in names
            for squeezer, value in (("bits4", 0.125), ("median2", 1.0), ("joint", np.nan), ("mean", 0.5))
        ]
    )


def test_cells_headings_and_rules():
    text = detectability_latex(rows(("cw", "r$50"), ("enhance", "r$50"), paper=0.32), {"cw": "C&W"})
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}\n" in text
    assert re.search(r"& Quantisation +& Smoothing +& +\\\\\n", text)
    assert re.search(r"& 4b +& 2m +& joint +\\\\\n", text)
    lines = [line for line in text.splitlines() if r"r\$50" in line]
    assert [re.sub(r"\s", "", line) for line in lines] == [
        r"\multirow[t]{2}{*}{a\_b}&C\&W&r\$50&.12(.32)&1.00(.32)&\\",
        r"&enhance&r\$50&.12(.32)&1.00(.32)&\\",
    ]
    assert text.count("{") == text.count("}")
    assert "mean" not in re.sub(r"\\caption.*", "", text)


def test_without_the_papers_figures_there_are_no_brackets():
    assert "(" not in re.sub(r"\\caption.*", "", detectability_latex(rows(("cw", "r"))))
