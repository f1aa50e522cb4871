"""The attacks of torchattacks (plural)."""

from collections.abc import Mapping

from torch import Tensor, nn

from edgefool.adapters.peer_library import AttackMaker, Constant, PeerLibrary


class Torchattacks(PeerLibrary):
    """https://github.com/Harry24k/adversarial-attacks-pytorch."""

    prefix, package, module = "torchattacks", "torchattacks", "torchattacks"
    given = frozenset({"model", "targeted"})

    def attacks(self) -> dict[str, AttackMaker]:
        """Return its attacks without the wrappers of other attacks."""
        library = self.load()
        return {name: getattr(library, name) for name in library.__all__ if name not in library.__wrapper__}

    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images."""
        adversarial: Tensor = attack(model, **constants)(images, labels)
        return adversarial
