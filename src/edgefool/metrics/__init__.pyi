from .detection import detectability, detection_threshold
from .quality import LPIPS_BACKBONES, Lpips, changed_pixels, ciede2000, distances, linf, psnr, smooth_delta_e, ssim
from .rates import Rate, Transferability, mean_rate, misleading_rate, rate, transferability, wilson_rate
from .robustness import TRANSFORMATIONS, check_transformation, transform
from .semantics import common_depth, group_left
from .squeezing import PAPER_SQUEEZERS, SQUEEZERS, bit_depth_reduction, median_smoothing, squeezing_scores

__all__ = [
    "LPIPS_BACKBONES",
    "PAPER_SQUEEZERS",
    "SQUEEZERS",
    "TRANSFORMATIONS",
    "Lpips",
    "Rate",
    "Transferability",
    "bit_depth_reduction",
    "changed_pixels",
    "check_transformation",
    "ciede2000",
    "common_depth",
    "detectability",
    "detection_threshold",
    "distances",
    "group_left",
    "linf",
    "mean_rate",
    "median_smoothing",
    "misleading_rate",
    "psnr",
    "rate",
    "smooth_delta_e",
    "squeezing_scores",
    "ssim",
    "transferability",
    "transform",
    "wilson_rate",
]
