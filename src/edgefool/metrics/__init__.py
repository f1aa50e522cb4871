"""Measures: pure functions over tensors or records.

Names are resolved on first use, as kornia and scipy take their time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefool.metrics.quality import LPIPS_BACKBONES, Lpips, changed_pixels, ciede2000, linf, psnr, ssim
    from edgefool.metrics.rates import (
        Rate,
        Transferability,
        detectability,
        mean_rate,
        misleading_rate,
        rate,
        transferability,
    )
    from edgefool.metrics.squeezing import (
        PAPER_SQUEEZERS,
        SQUEEZERS,
        bit_depth_reduction,
        detection_threshold,
        median_smoothing,
        squeezing_scores,
    )

__all__ = [
    "LPIPS_BACKBONES",
    "PAPER_SQUEEZERS",
    "SQUEEZERS",
    "Lpips",
    "Rate",
    "Transferability",
    "bit_depth_reduction",
    "changed_pixels",
    "ciede2000",
    "detectability",
    "detection_threshold",
    "linf",
    "mean_rate",
    "median_smoothing",
    "misleading_rate",
    "psnr",
    "rate",
    "squeezing_scores",
    "ssim",
    "transferability",
]

_HOMES = {
    **dict.fromkeys(("LPIPS_BACKBONES", "Lpips", "changed_pixels", "ciede2000", "linf", "psnr", "ssim"), "quality"),
    **dict.fromkeys(
        ("Rate", "Transferability", "detectability", "mean_rate", "misleading_rate", "rate", "transferability"),
        "rates",
    ),
    **dict.fromkeys(
        (
            "PAPER_SQUEEZERS",
            "SQUEEZERS",
            "bit_depth_reduction",
            "detection_threshold",
            "median_smoothing",
            "squeezing_scores",
        ),
        "squeezing",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
