"""The figures that show images (3, 4 and 6), drawn from the files of a run."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from kornia.color import rgb_to_lab
from numpy.typing import NDArray
from torch import Tensor

from edgefool.images import read_image
from edgefool.plotting import Axes, Figure, default_style
from edgefool.runs import Record, RunFolder
from edgefool.text import plain

_read = partial(read_image, max_megapixels=math.inf)  # the files of a run are our own
_SCALES = (1, 2, 5, 10, 20, 50, 100)


@default_style()
def intermediate_figure(run: RunFolder, record: Record) -> Figure:
    """Draw the original, structure I_s, details, enhanced details and adversarial image of a photo (Fig. 3).

    Parameters
    ----------
    run : RunFolder
        The run.
    record : Record
        A success of EdgeFool, Robust EdgeFool or the null method.

    Returns
    -------
    Figure
        Five panels, with the predicted class and its probability below the first and the last. Details are
        differences of lightness, scaled for viewing; grey means no difference. A method with a mask, bright where the
        photo hides a change, has a sixth panel behind the structure.
    """
    original = _read(run.image_path("originals", record))
    structure = _read(run.image_path("structure", record))
    adversarial = _read(run.image_path(record.kind, record))
    lightness = [rgb_to_lab(image[None])[0, :1] for image in (original, structure, adversarial)]
    panels = {
        "original": original,
        "structure $I_s$": structure,
        **({"mask": _read(run.image_path("mask", record))} if record.mask_png else {}),
        "details $I_d^L$": _viewable(lightness[0] - lightness[1]),
        "enhanced details": _viewable(lightness[2] - lightness[1]),
        "adversarial": adversarial,
    }
    figure, rows = _grid(1, len(panels), original)
    axes = rows[0]
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        _show(axis, panel)
        axis.set_title(title, fontsize=11)
    _caption(axes[0], _decisions(record, "original"))
    _caption(axes[-1], _decisions(record, "adversarial"))
    return figure


@default_style()
def perturbation_figure(run: RunFolder, records: Mapping[str, Record]) -> Figure:
    """Draw the perturbation of a photo by each method (Fig. 4).

    Parameters
    ----------
    run : RunFolder
        The run.
    records : dict
        Records of the same original, by the titles of the methods.

    Returns
    -------
    Figure
        The original, then for each method the difference between the adversarial image and the original; grey means
        no difference. Small differences are multiplied by the factor below them.
    """
    original = _read(run.image_path("originals", next(iter(records.values()))))
    columns = min(4, len(records) + 1)
    figure, rows = _grid(-(-(len(records) + 1) // columns), columns, original)
    axes = [axis for row in rows for axis in row]
    for axis in axes:
        axis.set_axis_off()
    _show(axes[0], original)
    axes[0].set_title("original", fontsize=11)
    for axis, (title, record) in zip(axes[1:], records.items(), strict=False):
        difference = (_read(run.image_path(record.kind, record)) - original).numpy()
        scale = viewing_scale(difference)
        axis.set_axis_on()
        _show(axis, 0.5 + scale * difference)
        axis.set_title(plain(title), fontsize=11, parse_math=False)
        factor = "not scaled" if scale == 1 else f"× {scale}"  # noqa: RUF001
        _caption(axis, factor if record.success else f"{factor}, not fooled")
    return figure


@default_style()
def comparison_figure(run: RunFolder, rows: Sequence[Mapping[str, Record]]) -> Figure:
    """Draw the adversarial images of all methods beside each original (Fig. 6).

    Parameters
    ----------
    run : RunFolder
        The run.
    rows : sequence of dict
        For each original, records by the titles of the methods. Methods may be missing.

    Returns
    -------
    Figure
        A row per original, with the predicted class and its probability below each image.
    """
    titles = list(dict.fromkeys(title for row in rows for title in row))
    first = [next(iter(row.values())) for row in rows]
    originals = [_read(run.image_path("originals", record)) for record in first]
    tallest = max(originals, key=lambda image: image.shape[1] / image.shape[2])
    figure, grid = _grid(len(rows), len(titles) + 1, tallest)
    for axes, original, record, row in zip(grid, originals, first, rows, strict=True):
        _show(axes[0], original)
        _caption(axes[0], _decisions(record, "original"), 9)
        for axis, title in zip(axes[1:], titles, strict=True):
            if title not in row:
                axis.set_axis_off()
                continue
            _show(axis, _read(run.image_path(row[title].kind, row[title])))
            _caption(axis, _decisions(row[title], "adversarial"), 9)
    for axis, title in zip(grid[0], ["original", *titles], strict=True):
        axis.set_title(plain(title), fontsize=11, parse_math=False)
    return figure


def viewing_scale(difference: NDArray[np.floating]) -> int:
    """Return the largest of 1, 2, 5, ..., 100 that keeps 99 % of the changes, (3, H, W) in [-1, 1], within [-½, ½].

    >>> viewing_scale(np.full((3, 8, 8), 4 / 255)), viewing_scale(np.full((3, 8, 8), -0.7))
    (20, 1)
    """
    changes = np.abs(difference[difference != 0])
    most = float(np.quantile(changes, 0.99)) if changes.size else 1.0
    return max((scale for scale in _SCALES if scale * most <= 0.5), default=1)


def _grid(rows: int, columns: int, image: Tensor) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels, which have the shape of an image, (3, H, W)."""
    aspect = min(image.shape[1] / image.shape[2], 4)  # matplotlib fails on very long panels
    side = 2.6 if columns < 6 else 1.8  # inches
    figure = Figure(figsize=(columns * side, rows * (side * aspect + 0.35) + 0.3), layout="constrained", dpi=110)
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def _show(axis: Axes, image: Tensor | NDArray[np.floating]) -> None:
    axis.imshow(np.asarray(image).transpose(1, 2, 0).clip(0, 1))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _caption(axis: Axes, text: str, size: int = 11) -> None:
    axis.set_xlabel(text, fontsize=size, parse_math=False)


def _viewable(lightness: Tensor) -> Tensor:
    """Scale a difference of lightness in [-50, 50] to a grey image, (1, H, W) to (3, H, W)."""
    return (0.5 + lightness / 100).clamp(0, 1).expand(3, *lightness.shape[1:])


def _decisions(record: Record, image: Literal["original", "adversarial"]) -> str:
    """Return the decisions on one of the two images, a line for each member of an ensemble."""
    return "\n".join(_decision(name, probability) for name, probability in record.decisions(image))


def _decision(name: str | None, probability: float | None) -> str:
    text = plain(str(name).replace("_", " "))
    return f"{text if len(text) <= 40 else text[:39] + '…'}  {probability:.0%}"
