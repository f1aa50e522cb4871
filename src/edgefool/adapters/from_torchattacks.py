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
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, image: Tensor, label: Tensor
    ) -> Tensor:
        """Attack an image."""
        adversarial: Tensor = attack(model, **constants)(image, label)
        return adversarial
