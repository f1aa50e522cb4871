"""Table 1 in LaTeX."""

from collections.abc import Mapping

import pandas as pd

from edgefool.report.detection import by_member
from edgefool.report.paper import format_share, squeezer_title
from edgefool.report.table_parts import MEAN


def detectability_latex(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    r"""Return the detectability of a run as a LaTeX table, which needs the packages booktabs and multirow.

    Parameters
    ----------
    table : DataFrame
        Returned by `detectability_table`.
    titles : dict, optional
        The titles of the methods by their names in the table.

    Returns
    -------
    str
        A ``table`` environment with a row per dataset, method and classifier, or member of an ensemble, and a column
        per squeezer. The paper's figures, where it has them, are in brackets.
    """
    keys = ["dataset", "method", "classifier"]
    shown = by_member(table[table["squeezer"] != MEAN])
    shown = shown.assign(
        method=[(titles or {}).get(name, name) for name in shown["method"]],
        cell=[_format_cell(*shares) for shares in zip(shown["detected"], shown["paper"], strict=True)],
    )
    wide = shown.pivot(index=keys, columns="squeezer", values="cell")
    rows = pd.MultiIndex.from_frame(shown[keys].drop_duplicates(), names=["", "", ""])
    wide = wide.reindex(rows, columns=shown["squeezer"].unique())
    wide.columns = pd.MultiIndex.from_tuples([squeezer_title(name) for name in wide.columns])
    style = wide.style.format(na_rep="").format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
    text: str = style.to_latex(
        hrules=True,
        multicol_align="c",
        multirow_align="t",
        column_format="lll" + "r" * len(wide.columns),
        position="t",
        caption="Detectability ($\\downarrow$) by feature squeezing: the share of all adversarial images whose score "
        "exceeds the threshold. Figures of Shamsabadi et al.\\ (2020) in brackets.",
        label="tab:detectability",
    )
    return text


def _format_cell(detected: float, paper: float) -> str:
    text = format_share(detected)
    return f"{text} ({format_share(paper)})" if text and paper == paper else text
