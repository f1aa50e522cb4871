"""The attacks of adversarial-library (on PyPI: adv-lib)."""

from collections.abc import Mapping
from types import FunctionType

from torch import Tensor, nn

from edgefool.adapters.peer_library import AttackMaker, Constant, PeerLibrary


class AdvLib(PeerLibrary):
    """https://github.com/jeromerony/adversarial-library."""

    prefix, package, module = "adv-lib", "adv-lib", "adv_lib.attacks"
    given = frozenset({"model", "inputs", "labels", "targets", "targeted", "callback"})

    def attacks(self) -> dict[str, AttackMaker]:
        """Return its attacks, which are functions."""
        return {name: value for name, value in vars(self.load()).items() if isinstance(value, FunctionType)}

    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images."""
        adversarial: Tensor = attack(model, images, labels, **constants)
        return adversarial
