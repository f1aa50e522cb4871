"""EdgeFool for users of foolbox: our attacks as attacks of foolbox, and its models as our classifiers.

>>> from edgefool import EdgeFool
>>> attack = FoolboxAttack(EdgeFool(max_iterations=200))
>>> raw, clipped, is_adv = attack(fmodel, images, labels, epsilons=None)  # doctest: +SKIP
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from inspect import getclosurevars
from typing import Any

from torch import nn

from edgefool.adapters.from_foolbox import Foolbox
from edgefool.adapters.library_classifier import LibraryClassifier, attack_images
from edgefool.attacks import Attack, FromLabels, Targeted
from edgefool.classifiers import Classifier, Preprocessing
from edgefool.classifiers.class_names import class_names
from edgefool.classifiers.probe import count_logits
from edgefool.errors import UsageError

foolbox: Any = Foolbox().load()
eagerpy: Any = import_module("eagerpy")
_MinimizationAttack: Any = foolbox.attacks.base.FlexibleDistanceMinimizationAttack


class OutOfBoundsError(UsageError, AssertionError):
    """Inputs lie outside the model's bounds; attacks of foolbox raise an AssertionError then."""


class FoolboxAttack(_MinimizationAttack):  # type: ignore[misc]
    """One of our attacks as a minimisation attack of foolbox.

    It is called as foolbox's are, ``raw, clipped, is_adv = attack(fmodel, inputs, criterion, epsilons=None)``.
    Adversarial images lie on the 8-bit grid of the bounds.

    Our attacks bound no distance. With ``epsilons`` foolbox's rule for minimisation attacks holds: the perturbation is
    clipped to each of them, in ``distance``, and ``is_adv`` is decided on what is left.

    Parameters
    ----------
    attack : Attack
        Such as ``edgefool.EdgeFool()``.
    distance : foolbox.distances.Distance, optional
        Such as ``foolbox.distances.l2``; calls with ``epsilons`` need it.
    batch_size : int
        Maximum number of images attacked together.
    """

    def __init__(self, attack: Attack, *, distance: Any = None, batch_size: int = 16):
        super().__init__(distance=distance)
        self.attack, self.batch_size = attack, batch_size

    def __call__(
        self, model: Any, inputs: Any, criterion: Any, *, epsilons: Sequence[float | None] | float | None, **kwargs: Any
    ) -> Any:
        """Attack images.

        Parameters
        ----------
        model : foolbox.models.PyTorchModel
            The classifier, with any bounds.
        inputs : Tensor
            (N, 3, H, W), within the model's bounds.
        criterion : Misclassification, TargetedMisclassification or Tensor
            When the attack succeeds; labels (N,) are ``Misclassification(labels)``.
        epsilons : None, float, or a sequence of them
            Bounds of the perturbation; None is no bound.
        **kwargs
            ``seeds``: one integer for each image, for its own random numbers; 0, 1, 2, … by default.

        Returns
        -------
        raw, clipped : Tensor or list of Tensor
            Like ``inputs``; lists if ``epsilons`` is a sequence.
        is_adv : Tensor
            (N,), bool; (K, N) if ``epsilons`` is a sequence of K.

        Raises
        ------
        UsageError
            If the model is no ``PyTorchModel``, the criterion is another one, inputs are out of bounds, or
            ``epsilons`` come without a distance.

        Warns
        -----
        ClassifierWarning
            If the model gets nearly all labels wrong.
        """
        classifier = _library_classifier(model)
        bounds = epsilons if isinstance(epsilons, Iterable) else [epsilons]
        if self._distance is None and any(epsilon is not None for epsilon in bounds):
            raise UsageError(
                "epsilons need a distance: pass distance=foolbox.distances.l2 or another one to the attack"
            )
        raw = getattr(inputs, "raw", inputs)
        try:
            within = classifier.within_range(raw)
        except UsageError as error:
            raise OutOfBoundsError(str(error)) from error
        same_type = within if raw is inputs else eagerpy.astensor(within)
        return super().__call__(model, same_type, criterion, epsilons=epsilons, **kwargs)

    def run(self, model: Any, inputs: Any, criterion: Any, *, early_stop: float | None = None, **kwargs: Any) -> Any:
        """Return the adversarial images of ``inputs``. With ``early_stop`` too: our attacks stop at their success."""
        seeds = kwargs.pop("seeds", None)
        foolbox.attacks.base.raise_if_kwargs(kwargs)
        x, restore_type = eagerpy.astensor_(inputs)
        criterion = foolbox.attacks.base.get_criterion(criterion)
        is_given_labels = type(criterion) is foolbox.criteria.Misclassification
        if not is_given_labels and type(criterion) is not foolbox.criteria.TargetedMisclassification:
            raise UsageError(f"the criterion must be Misclassification or TargetedMisclassification, not {criterion!r}")
        classes = (criterion.labels if is_given_labels else criterion.target_classes).raw
        adversarial = attack_images(
            self.attack,
            _library_classifier(model),
            x.raw,
            criterion=FromLabels(classes) if is_given_labels else Targeted(classes),
            labels=classes if is_given_labels else None,
            seeds=seeds,
            batch_size=self.batch_size,
        )
        return restore_type(eagerpy.astensor(adversarial))


def to_classifier(
    model: Any, *, name: str = "foolbox", classes: Sequence[str] | None = None, size: int | None = None
) -> Classifier:
    """Return a foolbox model as an `edgefool.Classifier`, with its bounds and its preprocessing inside.

    Parameters
    ----------
    model : foolbox.models.PyTorchModel
        Its network is frozen in place.
    name : str
        The classifier's name.
    classes : sequence of str, optional
        The names of its classes; by default those of ImageNet for 1000, of Places365 for 365, else their numbers.
    size : int, optional
        Side of its images in pixels, which it is tried with; by default common ones.

    Raises
    ------
    UsageError
        If it is no ``PyTorchModel``, takes no images of this size, or has another number of classes.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    >>> fmodel = foolbox.PyTorchModel(net, bounds=(-1, 1), device="cpu")
    >>> classifier = to_classifier(fmodel, size=32)
    >>> images = torch.rand(2, 3, 32, 32)
    >>> torch.allclose(classifier(images), fmodel(2 * images - 1), atol=1e-5)
    True
    """
    net = _library_classifier(model)
    count = count_logits(net.eval(), name, size)
    if classes is not None and len(classes) != count:
        raise UsageError(f"{name} has {count} classes, but there are {len(classes)} names")
    mean, std, flipped_axis = model._preprocess_args
    facts = [type(net.net).__name__, model.bounds, *(None if v is None else v.numpy().tolist() for v in (mean, std))]
    return Classifier(
        net,
        name=name,
        classes=classes or class_names(count),
        architecture=f"foolbox {facts} {flipped_axis}",
        preprocessing=Preprocessing(),
    )


def _library_classifier(model: Any) -> LibraryClassifier:
    if not isinstance(model, foolbox.PyTorchModel):
        raise UsageError(f"the model must be a foolbox.PyTorchModel, not a {type(model).__name__}")
    # foolbox keeps the network only inside the function that calls it.
    net: nn.Module = getclosurevars(model._model).nonlocals["model"]
    return LibraryClassifier(net, model, *model.bounds)
