"""The attacks of the Adversarial Robustness Toolbox (ART)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgefool.adapters.peer_library import AttackMaker, Constant, PeerLibrary, find_classes


class Art(PeerLibrary):
    """https://github.com/Trusted-AI/adversarial-robustness-toolbox."""

    prefix, package, module = "art", "adversarial-robustness-toolbox", "art.attacks.evasion"
    given = frozenset({"estimator", "classifier", "targeted", "summary_writer"})

    def attacks(self) -> dict[str, AttackMaker]:
        """Return its evasion attacks."""
        evasion = self.load()
        from art.attacks.attack import EvasionAttack

        return find_classes(evasion, EvasionAttack)

    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images, by NumPy as ART does, without its progress bars."""
        from art.estimators.classification import PyTorchClassifier

        with torch.no_grad():
            classes = model(images).shape[1]
        classifier = PyTorchClassifier(
            model,
            nn.CrossEntropyLoss(),
            input_shape=tuple(images.shape[1:]),
            nb_classes=classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if images.device.type == "cuda" else "cpu",
        )
        quiet = {"verbose": False} if "verbose" in self.parameters(attack) else {}
        made = attack(classifier, **{**quiet, **constants})
        adversarial = made.generate(x=images.float().cpu().numpy(), y=labels.cpu().numpy())
        return torch.from_numpy(adversarial)
