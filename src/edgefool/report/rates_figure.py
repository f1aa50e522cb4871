"""The paper's Fig. 5: how often the images of each method mislead the classifier they were made for, and the others."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from edgefool.text import plain

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, told apart by all
_MARKERS = "os^Dv*PX"  # of other periods than the colours, so that 24 classifiers differ
_STEP = 0.24  # between the columns of a method's classifiers, in x where methods are 1 apart
_LIGHT_TEXT: Any = dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"), "#d8dade"
)


def rates_figure(
    tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str] | None = None, *, dark: bool = False
) -> Figure:
    """Draw misleading rate and transferability per method and classifier, a panel per dataset (Fig. 5).

    Parameters
    ----------
    tables : dict
        Of `make_tables`: ``misleading`` and ``transferability`` are drawn.
    titles : dict, optional
        By a method's name in the tables, what to call it.
    dark : bool
        For a dark page: light text on no background.

    Returns
    -------
    Figure
        Each method has a column per attacked classifier. The filled mark at its head is the rate at which that
        classifier is misled, the open ones are the others; colour and shape say which classifier is asked. Thin bars
        are 95 % intervals. A dash is the rate of detail enhancement without an attack, on the same images.
    """
    misleading, transfer = tables["misleading"], tables["transferability"]
    datasets = list(dict.fromkeys(misleading["dataset"]))
    most = max((_columns(rows) for _, rows in misleading.groupby("dataset")), default=1)
    with rc_context(_LIGHT_TEXT if dark else {}):
        figure = Figure(
            figsize=(min(max(6.4, 1.2 + 0.35 * most), 30), 3.4 * max(len(datasets), 1)), layout="constrained"
        )
        if not datasets:
            figure.text(0.5, 0.5, "no cells", ha="center")
            return figure
        axes = figure.subplots(len(datasets), 1, squeeze=False)[:, 0]
        for axis, dataset in zip(axes, datasets, strict=True):
            of_it = transfer[transfer["dataset"] == dataset]
            _panel(axis, misleading[misleading["dataset"] == dataset], of_it, titles or {})
            axis.set_title(plain(dataset), fontsize=11, loc="left", parse_math=False)
    if dark:
        figure.patch.set_alpha(0)
    return figure


def _columns(rows: pd.DataFrame) -> int:
    return int(rows["method"].nunique() * (rows["classifier"].nunique() + 1))


def _panel(axis: Axes, misleading: pd.DataFrame, transfer: pd.DataFrame, titles: Mapping[str, str]) -> None:
    methods = list(dict.fromkeys(misleading["method"]))
    classifiers = list(dict.fromkeys([*misleading["classifier"], *transfer["target"]]))
    looks = {name: (_COLOURS[k % len(_COLOURS)], _MARKERS[k % len(_MARKERS)]) for k, name in enumerate(classifiers)}
    by_cell = transfer.groupby(["method", "classifier"], sort=False)
    targets = {key: rows.to_dict("records") for key, rows in by_cell}
    width = _STEP * max(len(classifiers) - 1, 1)
    for k, method in enumerate(methods):
        centre = k * (width + 2 * _STEP)
        if k % 2:
            axis.axvspan(centre - width / 2 - _STEP, centre + width / 2 + _STEP, color="#808080", alpha=0.1, lw=0)
        for row in misleading[misleading["method"] == method].to_dict("records"):
            x = centre + _STEP * (classifiers.index(row["classifier"]) - (len(classifiers) - 1) / 2)
            others = targets.get((method, row["classifier"]), [])
            known = [row["misled"], *(other["changed"] for other in others)]
            if np.isfinite(known).any():
                axis.plot([x, x], [np.nanmin(known), np.nanmax(known)], color="#808080", alpha=0.4, lw=0.8, zorder=1)
            for other in others:
                if np.isfinite(other["null"]):
                    axis.plot(
                        [x - 0.09, x + 0.09], 2 * [other["null"]], color=looks[other["target"]][0], lw=1.6, alpha=0.6
                    )
                _mark(axis, x, other, "changed", looks[other["target"]], filled=False)
            _mark(axis, x, row, "misled", looks[row["classifier"]], filled=True)
    names = [plain(titles.get(method, method)).replace(" ", "\n") for method in methods]
    crowded = max(len(word) for name in names for word in name.split("\n")) > 3.7 * (len(classifiers) + 1)
    centres = [k * (width + 2 * _STEP) for k in range(len(methods))]
    axis.set_xticks(centres, names, parse_math=False)
    if crowded:
        axis.tick_params(axis="x", rotation=30)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
    axis.tick_params(axis="x", length=0)
    axis.set_xlim(centres[0] - width / 2 - _STEP, centres[-1] + width / 2 + _STEP)
    axis.set_ylim(-0.04, 1.04)
    axis.set_yticks(np.linspace(0, 1, 6), [f"{share}" for share in range(0, 101, 20)])
    axis.set_ylabel("images misled (%)")
    axis.grid(axis="y", color="#808080", alpha=0.25, lw=0.5)
    axis.patch.set_alpha(0)
    axis.spines[["top", "right"]].set_visible(False)
    keys = [Line2D([], [], color=c, marker=m, ls="", ms=6, label=plain(name)) for name, (c, m) in looks.items()]
    keys.append(Line2D([], [], color="#808080", marker="o", ls="", ms=7, label="attacked"))
    if len(transfer):
        keys.append(Line2D([], [], color="#808080", marker="o", mfc="none", ls="", ms=6, label="transferred to"))
    if transfer["null"].notna().any():
        keys.append(Line2D([], [], color="#808080", lw=1.6, label="enhancement only"))
    legend = axis.legend(handles=keys, ncols=8, fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    for text in legend.get_texts():
        text.set_parse_math(False)


def _mark(axis: Axes, x: float, row: Mapping[Hashable, Any], name: str, look: tuple[str, str], *, filled: bool) -> None:
    colour, marker = look
    if not np.isfinite(row[name]):
        return
    axis.plot([x, x], [row[f"{name}_low"], row[f"{name}_high"]], color=colour, lw=0.8, alpha=0.7, zorder=2)
    face = colour if filled else "none"
    axis.plot([x], [row[name]], marker=marker, ms=7 if filled else 5, mfc=face, mec=colour, mew=1.2, ls="", zorder=3)
