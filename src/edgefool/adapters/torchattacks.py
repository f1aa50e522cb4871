"""EdgeFool for users of torchattacks: our attacks as attacks of torchattacks.

>>> from edgefool import EdgeFool
>>> atk = TorchattacksAttack(model, EdgeFool(max_iterations=200))  # doctest: +SKIP
>>> adv_images = atk(images, labels)  # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from edgefool.adapters.from_torchattacks import Torchattacks
from edgefool.adapters.library_classifier import LibraryClassifier, attack_images
from edgefool.attacks import Attack, Criterion, FromLabels, Misclassification, Targeted
from edgefool.errors import UsageError

_Attack: Any = Torchattacks().load().attack.Attack


class TorchattacksAttack(_Attack):  # type: ignore[misc]
    """One of our attacks as an attack of torchattacks: ``adv_images = atk(images, labels)``.

    All that this library's attacks have works as there: ``set_normalization_used``, the targeted modes (if the attack
    can be targeted), ``set_return_type``, ``save``. Adversarial images lie on the 8-bit grid.

    Parameters
    ----------
    model : nn.Module
        Images in [0, 1] to logits, with at least one parameter. If it takes normalised images, call
        ``set_normalization_used`` and give the attack normalised images, as with any attack of torchattacks.
    attack : Attack
        Such as ``edgefool.EdgeFool()``.
    batch_size : int
        Maximum number of images attacked together.

    Raises
    ------
    ValueError
        By a ``set_mode_targeted_…`` if the attack cannot be targeted.
    """

    def __init__(self, model: nn.Module, attack: Attack, *, batch_size: int = 16):
        super().__init__(attack.name, model)
        self.edgefool_attack, self.batch_size = attack, batch_size
        self.supported_mode = ["default", "targeted"] if attack.takes_targets else ["default"]

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        """Take the labels of each call as the classes to reach. Early versions of torchattacks lack this mode."""
        if "targeted" not in self.supported_mode:
            raise ValueError("Targeted mode is not supported.")
        self.targeted, self.attack_mode = True, "targeted(label)"
        self._target_map_function = _labels_themselves
        if not quiet:
            print(f"Attack mode is changed to '{self.attack_mode}'.")

    def set_model_training_mode(
        self, model_training: bool = False, batchnorm_training: bool = False, dropout_training: bool = False
    ) -> None:
        """Raise `UsageError` for any training mode: our attacks are on classifiers in eval mode."""
        if model_training or batchnorm_training or dropout_training:
            raise UsageError(f"{self.attack} attacks models in eval mode only")

    def forward(self, inputs: Tensor, labels: Tensor | None = None, *, seeds: Sequence[int] | None = None) -> Tensor:
        """Return the adversarial images of images; torchattacks calls this, after it undid any normalisation.

        Parameters
        ----------
        inputs : Tensor
            (N, 3, H, W) in [0, 1].
        labels : Tensor, optional
            (N,), int64: the classes to leave, by default the model's own decisions; in the mode by label, to reach.
        seeds : sequence of int, optional
            One for each image, for its own random numbers; 0, 1, 2, … by default.

        Returns
        -------
        Tensor
            (N, 3, H, W) in [0, 1].

        Raises
        ------
        UsageError
            If images are out of range, or labels do not fit.

        Warns
        -----
        ClassifierWarning
            If the model gets nearly all labels wrong.
        """
        images = inputs.to(self.device)
        labels = None if labels is None else labels.to(self.device)
        criterion: Criterion = Misclassification() if labels is None else FromLabels(labels)
        if self.targeted:
            criterion = Targeted(self.get_target_label(images, labels))
        return attack_images(
            self.edgefool_attack,
            LibraryClassifier(self.model, self.get_logits),
            images,
            criterion=criterion,
            labels=None if self._target_map_function is _labels_themselves and self.targeted else labels,
            seeds=seeds,
            batch_size=self.batch_size,
        )


def _labels_themselves(images: Tensor, labels: Tensor | None) -> Tensor:
    if labels is None:
        raise UsageError("the targeted mode by label needs labels")
    return labels
