"""The attacks of foolbox."""

from collections.abc import Mapping
from inspect import Parameter

from torch import Tensor, nn

from edgefool.adapters.peer_library import AttackMaker, Constant, PeerLibrary, find_classes


class Foolbox(PeerLibrary):
    """https://github.com/bethgelab/foolbox."""

    prefix, package, module = "foolbox", "foolbox", "foolbox"
    given = frozenset[str]()

    def attacks(self) -> dict[str, AttackMaker]:
        """Return its attacks, also by their short names such as ``LinfPGD``."""
        attacks = self.load().attacks
        return {**find_classes(attacks, attacks.Attack), "L2DDNAttack": attacks.DDNAttack}  # named as the others are

    def parameters(self, attack: AttackMaker) -> dict[str, Parameter]:
        """Return the attack's parameters and ``epsilon``, the bound of the perturbation.

        Attacks that search for the smallest perturbation need none.
        """
        fixed = self.load().attacks.base.FixedEpsilonAttack
        bounded = isinstance(attack, type) and issubclass(attack, fixed)
        epsilon = Parameter("epsilon", Parameter.KEYWORD_ONLY, default=Parameter.empty if bounded else None)
        return {**super().parameters(attack), "epsilon": epsilon}

    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images; return them clipped to ``epsilon``."""
        foolbox = self.load()
        own = {name: value for name, value in constants.items() if name != "epsilon"}
        bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        criterion = foolbox.Misclassification(labels)
        _, clipped, _ = attack(**own)(bounded, images, criterion, epsilons=constants.get("epsilon"))
        adversarial: Tensor = clipped
        return adversarial
