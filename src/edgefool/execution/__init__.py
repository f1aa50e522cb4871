"""How it is done: in this process, or by workers."""

from edgefool.execution.distributed.driver import run_distributed
from edgefool.execution.distributed.ray_pool import RayWorkerPool, make_ray_pool
from edgefool.execution.external_images import ExternalImages
from edgefool.execution.local import run_local
from edgefool.execution.photo_records import image_seed
from edgefool.execution.state import CellProgress, RunState, Step

__all__ = [
    "CellProgress",
    "ExternalImages",
    "RayWorkerPool",
    "RunState",
    "Step",
    "image_seed",
    "make_ray_pool",
    "run_distributed",
    "run_local",
]
