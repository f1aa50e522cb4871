"""Table 1 for a paper."""

from collections.abc import Mapping

import pandas as pd

from edgefool.report.paper import SQUEEZERS
from edgefool.report.tables import MEAN


def detectability_latex(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    r"""Return the detectability of a run as a LaTeX table; it needs the packages booktabs and multirow.

    Parameters
    ----------
    table : DataFrame
        Of `detectability_table`.
    titles : dict, optional
        By a method's name in the table, what to call it.

    Returns
    -------
    str
        A ``table`` environment with a row per dataset, method and classifier, and a column per squeezer; the paper's
        figure stands in brackets where it has one.
    """
    shown = table[table["squeezer"] != MEAN]
    cells = [_cell(detected, paper) for detected, paper in zip(shown["detected"], shown["paper"], strict=True)]
    long = shown[["dataset", "classifier", "squeezer"]].assign(
        cell=cells, method=[(titles or {}).get(name, name) for name in shown["method"]]
    )
    squeezers = list(dict.fromkeys(long["squeezer"]))
    rows = list(dict.fromkeys(zip(long["dataset"], long["method"], long["classifier"], strict=True)))
    wide = long.pivot(index=["dataset", "method", "classifier"], columns="squeezer", values="cell")
    wide = wide.reindex(pd.MultiIndex.from_tuples(rows, names=["", "", ""]), columns=squeezers)
    wide.columns = pd.MultiIndex.from_tuples([squeezer_title(name) for name in squeezers])
    style = wide.style.format(na_rep="").format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
    text: str = style.to_latex(
        hrules=True,
        multicol_align="c",
        multirow_align="t",
        column_format="lll" + "r" * len(squeezers),
        position="t",
        caption="Detectability ($\\downarrow$) by feature squeezing: the share of all adversarial images whose score "
        "is above the threshold; in brackets the figure of Shamsabadi et al.\\ (2020).",
        label="tab:detectability",
    )
    return text


def squeezer_title(squeezer: str) -> tuple[str, str]:
    """Return how Table 1 groups and names a squeezer.

    >>> squeezer_title("median2"), squeezer_title("bits1"), squeezer_title("joint")
    (('Smoothing', '2m'), ('', 'bits1'), ('', 'joint'))
    """
    return SQUEEZERS.get(squeezer, ("", squeezer))


def _cell(detected: float, paper: float) -> str:
    """Return shares as the paper writes them: .32."""
    if detected != detected:
        return ""
    told = f"{detected:.2f}".removeprefix("0")
    return told if paper != paper else told + f" ({paper:.2f})".replace("(0.", "(.")
