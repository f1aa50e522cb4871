"""Image operators: pure functions over tensors (N, 3, H, W)."""

from edgefool.filters._fcnn_cpu import fcnn
from edgefool.filters.detail_enhancement import enhance_details
from edgefool.filters.enhancement_filter import DetailEnhancement, EnhancementFilter
from edgefool.filters.face_mask import face_mask
from edgefool.filters.fcnn import FCNN, identity_parameters
from edgefool.filters.guided_filter import guided_filter
from edgefool.filters.l0_smoothing import l0_smooth
from edgefool.filters.smoother import smoother_parameters
from edgefool.filters.texture_mask import texture_mask

__all__ = [
    "FCNN",
    "DetailEnhancement",
    "EnhancementFilter",
    "enhance_details",
    "face_mask",
    "fcnn",
    "guided_filter",
    "identity_parameters",
    "l0_smooth",
    "smoother_parameters",
    "texture_mask",
]
