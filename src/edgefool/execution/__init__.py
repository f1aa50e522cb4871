"""How it is done: in this process, or by workers."""

from edgefool.execution.cell_attack import image_seed
from edgefool.execution.distributed.driver import ray_execution
from edgefool.execution.external_images import ForeignImages
from edgefool.execution.local import Execution, Step, Task

__all__ = ["Execution", "ForeignImages", "Step", "Task", "image_seed", "ray_execution"]
