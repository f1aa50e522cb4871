"""Measures: pure functions over tensors or records."""

from edgefool.measures.quality import psnr, ssim

__all__ = ["psnr", "ssim"]
