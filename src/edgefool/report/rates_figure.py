"""Fig. 5: how often each method misleads the attacked classifier, and how often its images transfer to others."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgefool.plotting import Axes, Figure, Line2D, default_style
from edgefool.text import plain

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, for colour-blind readers
_MARKERS = "os^Dv*PX"  # a different period than the colours: 24 classifiers look different
_GREY = "#808080"
_STEP = 0.24  # in x, between the columns of a method
_LIGHT_TEXT: Any = dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"), "#d8dade"
)

_Row = Mapping[Hashable, Any]  # of a table


def rates_figure(
    tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str] | None = None, *, dark: bool = False
) -> Figure:
    """Draw the misleading rate and transferability of each method and classifier, a panel per dataset (Fig. 5).

    Parameters
    ----------
    tables : dict
        ``misleading`` and ``transferability`` as `make_tables` returns them.
    titles : dict, optional
        The titles of the methods by their names in the tables.
    dark : bool
        Draw light text on a transparent background, for a dark page.

    Returns
    -------
    Figure
        Each method has a column per attacked classifier. Its filled mark is the misleading rate of that classifier,
        open marks are those of the others; colour and shape distinguish classifiers. Thin bars are 95 % intervals. A
        dash is the rate of detail enhancement without an attack on the same images.
    """
    misleading, transfer = tables["misleading"], tables["transferability"]
    datasets = misleading["dataset"].unique()
    most = max((_columns(rows) for _, rows in misleading.groupby("dataset")), default=1)
    with default_style(_LIGHT_TEXT if dark else {}):
        figure = Figure(
            figsize=(min(max(6.4, 1.2 + 0.35 * most), 30), 3.4 * max(len(datasets), 1)), layout="constrained"
        )
        if not len(datasets):
            figure.text(0.5, 0.5, "no cells", ha="center")
            return figure
        axes = figure.subplots(len(datasets), 1, squeeze=False)[:, 0]
        for axis, dataset in zip(axes, datasets, strict=True):
            rates, transfers = (table[table["dataset"] == dataset] for table in (misleading, transfer))
            _draw_panel(axis, rates, transfers, titles or {})
            axis.set_title(plain(dataset), fontsize=11, loc="left", parse_math=False)
    if dark:
        figure.patch.set_alpha(0)
    return figure


def _columns(rows: pd.DataFrame) -> int:
    return int(rows["method"].nunique() * (rows["classifier"].nunique() + 1))


def _draw_panel(axis: Axes, misleading: pd.DataFrame, transfer: pd.DataFrame, titles: Mapping[str, str]) -> None:
    methods = misleading["method"].unique()
    classifiers = list(dict.fromkeys([*misleading["classifier"], *transfer["target"]]))
    looks = {name: (_COLOURS[k % len(_COLOURS)], _MARKERS[k % len(_MARKERS)]) for k, name in enumerate(classifiers)}
    half = _STEP * (max(len(classifiers) - 1, 1) / 2 + 1)  # of the width of a method
    centres = {method: 2 * half * k for k, method in enumerate(methods)}
    for centre in list(centres.values())[1::2]:
        axis.axvspan(centre - half, centre + half, color=_GREY, alpha=0.1, lw=0)
    cells = transfer.groupby(["method", "classifier"], sort=False)
    targets = {key: rows.to_dict("records") for key, rows in cells}
    for row in misleading.to_dict("records"):
        x = centres[row["method"]] + _STEP * (classifiers.index(row["classifier"]) - (len(classifiers) - 1) / 2)
        _draw_column(axis, x, row, targets.get((row["method"], row["classifier"]), []), looks)
    names = [plain(titles.get(method, method)).replace(" ", "\n") for method in methods]
    axis.set_xticks(list(centres.values()), names, parse_math=False)
    axis.tick_params(axis="x", length=0)
    inches = axis.figure.bbox.width / axis.figure.dpi - 1.2
    if 0.09 * max(len(word) for name in names for word in name.split("\n")) > inches / len(methods):  # crowded
        axis.tick_params(axis="x", rotation=30)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
    axis.set_xlim(-half, 2 * half * len(methods) - half)
    axis.set_ylim(-0.04, 1.04)
    axis.set_yticks(np.linspace(0, 1, 6), [f"{share}" for share in range(0, 101, 20)])
    axis.set_ylabel("misleading rate (%)")
    axis.grid(axis="y", color=_GREY, alpha=0.25, lw=0.5)
    axis.patch.set_alpha(0)
    axis.spines[["top", "right"]].set_visible(False)
    _draw_legend(axis, looks, has_transfer=len(transfer) > 0, has_null=bool(transfer["null"].notna().any()))


def _draw_column(axis: Axes, x: float, row: _Row, others: Sequence[_Row], looks: Mapping[str, tuple[str, str]]) -> None:
    """Draw the rates of a cell: of the attacked classifier and of the others."""
    known = [row["misled"], *(other["changed"] for other in others)]
    if np.isfinite(known).any():
        axis.plot([x, x], [np.nanmin(known), np.nanmax(known)], color=_GREY, alpha=0.4, lw=0.8, zorder=1)
    for other in others:
        look = looks[other["target"]]
        if np.isfinite(other["null"]):
            axis.plot([x - 0.09, x + 0.09], 2 * [other["null"]], color=look[0], lw=1.6, alpha=0.6)
        _draw_mark(axis, x, other, "changed", look, filled=False)
    _draw_mark(axis, x, row, "misled", looks[row["classifier"]], filled=True)


def _draw_mark(axis: Axes, x: float, row: _Row, name: str, look: tuple[str, str], *, filled: bool) -> None:
    colour, marker = look
    if not np.isfinite(row[name]):
        return
    axis.plot([x, x], [row[f"{name}_low"], row[f"{name}_high"]], color=colour, lw=0.8, alpha=0.7, zorder=2)
    face = colour if filled else "none"
    axis.plot([x], [row[name]], marker=marker, ms=7 if filled else 5, mfc=face, mec=colour, mew=1.2, ls="", zorder=3)


def _draw_legend(axis: Axes, looks: Mapping[str, tuple[str, str]], *, has_transfer: bool, has_null: bool) -> None:
    keys = [Line2D([], [], color=c, marker=m, ls="", ms=6, label=plain(name)) for name, (c, m) in looks.items()]
    keys.append(Line2D([], [], color=_GREY, marker="o", ls="", ms=7, label="attacked"))
    if has_transfer:
        keys.append(Line2D([], [], color=_GREY, marker="o", mfc="none", ls="", ms=6, label="transferred to"))
    if has_null:
        keys.append(Line2D([], [], color=_GREY, lw=1.6, label="enhancement only"))
    longest = max(len(str(key.get_label())) for key in keys)
    columns = int(
        axis.figure.bbox.width / axis.figure.dpi / (0.07 * longest + 0.5)
    )  # inches: letters, and the mark with its margin
    legend = axis.legend(
        handles=keys,
        ncols=max(1, min(8, columns)),
        fontsize=8,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=2.4,  # above the title: in points, for a share of the axes moves with each drawing's layout
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
