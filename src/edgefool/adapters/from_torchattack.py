"""The attacks of torchattack (singular)."""

from collections.abc import Mapping

from torch import Tensor, nn

from edgefool.adapters.peer_library import AttackMaker, Constant, PeerLibrary


class Torchattack(PeerLibrary):
    """https://github.com/spencerwooo/torchattack."""

    prefix, package, module = "torchattack", "torchattack", "torchattack"
    given = frozenset({"model", "normalize", "device", "targeted"})

    def attacks(self) -> dict[str, AttackMaker]:
        """Return all registered attacks."""
        return dict(self.load().ATTACK_REGISTRY)

    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images; the classifier normalises by itself."""
        made = self.load().create_attack(attack, model, None, images.device, **constants)
        adversarial: Tensor = made(images, labels)
        return adversarial
