"""The intermediate results of EdgeFool for one photo, in the manner of Fig. 3."""

import torch
from kornia.color import rgb_to_lab
from matplotlib.figure import Figure
from torch import Tensor

from edgefool.experiments import Record, RunFolder
from edgefool.images import read_image


def contact_sheet(run: RunFolder, record: Record) -> Figure:
    """Draw original, structure I_s, details, enhanced details and adversarial image from the files of a run.

    Parameters
    ----------
    run : RunFolder
        The run.
    record : Record
        Of a successful image.

    Returns
    -------
    Figure
        Five panels; the predicted class and its probability stand under both ends. Details are differences of
        lightness, scaled for viewing: grey is none.
    """
    original = read_image(run.image_path("originals", record))
    structure = read_image(run.image_path("structure", record))
    adversarial = read_image(run.image_path("images", record))
    lightness = [rgb_to_lab(image[None])[0, :1] for image in (original, structure, adversarial)]
    panels = {
        "original": original,
        "structure $I_s$": structure,
        "details $I_d^L$": _viewable(lightness[0] - lightness[1]),
        "enhanced details": _viewable(lightness[2] - lightness[1]),
        "adversarial": adversarial,
    }
    height, width = original.shape[1:]
    aspect = min(height / width, 4)  # of a panel; no sheet becomes a strip that matplotlib refuses
    figure = Figure(figsize=(13, 13 / 5 * aspect + 0.75), layout="constrained", dpi=110)
    axes = figure.subplots(1, len(panels))
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        axis.imshow(panel.permute(1, 2, 0).numpy())
        axis.set_title(title, fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    for axis, decision in (
        (axes[0], _decision(record.original_name, record.original_probability)),
        (axes[-1], _decision(record.adversarial_name, record.adversarial_probability)),
    ):
        axis.set_xlabel(decision, fontsize=11, parse_math=False)
    return figure


def _viewable(lightness: Tensor) -> Tensor:
    """Scale a difference of lightness in [-50, 50] to a grey image, (1, H, W) to (3, H, W)."""
    return (0.5 + lightness / 100).clamp(0, 1).expand(3, *lightness.shape[1:]).to(torch.float32)


def _decision(name: str | None, probability: float | None) -> str:
    text = "".join(character if character.isprintable() else " " for character in str(name).replace("_", " "))
    return f"{text}  {probability:.0%}"
