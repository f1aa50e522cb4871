"""EdgeFool for users of the Adversarial Robustness Toolbox (ART): our attacks as evasion attacks.

>>> from edgefool import EdgeFool
>>> attack = ArtAttack(classifier, EdgeFool(max_iterations=200))  # doctest: +SKIP
>>> x_adv = attack.generate(x, y)  # doctest: +SKIP
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from edgefool.adapters.from_art import Art
from edgefool.adapters.library_classifier import LibraryClassifier, attack_images
from edgefool.attacks import Attack, Criterion, FromLabels, Misclassification, Targeted
from edgefool.errors import UsageError

Art().load()
_EvasionAttack: Any = import_module("art.attacks.attack").EvasionAttack
_PyTorchClassifier: Any = import_module("art.estimators.classification.pytorch").PyTorchClassifier
_label_format: Any = import_module("art.utils").check_and_transform_label_format


class ArtAttack(_EvasionAttack):  # type: ignore[misc]
    """One of our attacks as an evasion attack of ART: ``x_adv = attack.generate(x, y)``.

    The classifier's preprocessing, and its defences that are written in PyTorch, are part of what is attacked.
    Adversarial images lie on the 8-bit grid of ``clip_values``.

    Parameters
    ----------
    classifier : art.estimators.classification.PyTorchClassifier
        With ``clip_values``, the range of its images, and channels first.
    attack : Attack
        Such as ``edgefool.EdgeFool()``.
    targeted : bool
        Whether ``y`` are the classes to reach.
    batch_size : int
        Maximum number of images attacked together.

    Raises
    ------
    EstimatorError
        Of ART, if the classifier is no ``PyTorchClassifier``.
    UsageError
        If it lacks ``clip_values`` or has what the attack cannot go through, or the attack cannot be targeted.
    """

    attack_params = (*_EvasionAttack.attack_params, "attack", "targeted", "batch_size")
    _estimator_requirements = (_PyTorchClassifier,)

    def __init__(self, classifier: Any, attack: Attack, *, targeted: bool = False, batch_size: int = 16):
        super().__init__(estimator=classifier)
        self.attack, self.targeted, self.batch_size = attack, targeted, batch_size
        self._check_params()

    def generate(
        self, x: ArrayLike, y: ArrayLike | None = None, *, seeds: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Attack images.

        Parameters
        ----------
        x : array
            (N, 3, H, W), within the classifier's ``clip_values``.
        y : array, optional
            Classes, (N,) or one-hot (N, D): to leave, by default the classifier's own decisions; or to reach, if
            ``targeted``.
        seeds : sequence of int, optional
            One for each image, for its own random numbers; 0, 1, 2, … by default.

        Returns
        -------
        array
            Like ``x``, float32.

        Raises
        ------
        UsageError
            If ``x`` is out of range, or ``y`` does not fit or is missing.

        Warns
        -----
        ClassifierWarning
            If the classifier gets nearly all labels wrong.
        """
        self._check_params()
        if self.targeted and y is None:
            raise UsageError("a targeted attack needs y, the classes to reach")
        images = torch.from_numpy(np.array(x, np.float32)).to(self.estimator.device)
        criterion: Criterion = Misclassification()
        labels = None
        if y is not None:
            one_hot = _label_format(np.asarray(y), nb_classes=self.estimator.nb_classes)
            labels = torch.from_numpy(one_hot.argmax(1)).to(images.device)
            criterion = Targeted(labels) if self.targeted else FromLabels(labels)
        low, high = (float(value) for value in self.estimator.clip_values)
        adversarial = attack_images(
            self.attack,
            LibraryClassifier(self.estimator.model, self._logits, low, high),
            images,
            criterion=criterion,
            labels=None if self.targeted else labels,
            seeds=seeds,
            batch_size=self.batch_size,
        )
        array: NDArray[np.float32] = adversarial.cpu().numpy()
        return array

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.estimator._predict_framework(images)[0]
        return logits

    def _check_params(self) -> None:
        classifier = self.estimator
        if classifier.clip_values is None or any(np.ndim(value) for value in classifier.clip_values):
            raise UsageError("the classifier needs clip_values, two numbers: the range of its images, such as (0, 1)")
        if not classifier.channels_first:
            raise UsageError("the classifier's images must have their channels first")
        if not classifier.all_framework_preprocessing:
            raise UsageError("the classifier has a preprocessing that is not in PyTorch and has no gradients")
        if classifier.postprocessing_defences:
            raise UsageError("the classifier has postprocessing_defences, which the attack would not see")
        if self.targeted and not self.attack.takes_targets:
            raise UsageError(f"{self.attack.name} cannot be targeted")
