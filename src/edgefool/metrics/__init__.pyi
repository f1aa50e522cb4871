from .detection import detectability, detection_threshold
from .quality import LPIPS_BACKBONES, Lpips, changed_pixels, ciede2000, distances, linf, psnr, ssim
from .rates import Rate, Transferability, mean_rate, misleading_rate, rate, transferability
from .squeezing import PAPER_SQUEEZERS, SQUEEZERS, bit_depth_reduction, median_smoothing, squeezing_scores

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
    "distances",
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
