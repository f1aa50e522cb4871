"""An attack of another library as a method: judged, measured and recorded as ours are."""

import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgefool.adapters.from_adv_lib import AdvLib
from edgefool.adapters.from_art import Art
from edgefool.adapters.from_foolbox import Foolbox
from edgefool.adapters.from_torchattack import Torchattack
from edgefool.adapters.from_torchattacks import Torchattacks
from edgefool.adapters.observed_classifier import ObservedClassifier, check_class_counts, mean_logits
from edgefool.adapters.peer_library import Constant, PeerLibrary
from edgefool.adapters.random_state import seeded
from edgefool.attacks import Criterion, Misclassification
from edgefool.attacks.attack import IterativeAttack
from edgefool.attacks.functional import classes_of, clean_member_logits
from edgefool.attacks.state import State
from edgefool.classifiers import Ensemble, members_of
from edgefool.errors import UsageError, check_known

LIBRARIES: dict[str, PeerLibrary] = {
    library.prefix: library for library in (Foolbox(), Torchattacks(), Torchattack(), Art(), AdvLib())
}
"""By the prefix of their methods' names."""

TOGETHER = "together"
"""Name of `PeerAttack.together` among the constants of a plan; no library's attack has a parameter of this name."""


@dataclass(kw_only=True)
class PeerState(State):
    """Images, the class that each is to leave by the one classifier that the library sees, and their seeds, (N,)."""

    label: Tensor
    seed: Tensor

    def aim(self, criteria: Sequence[Criterion], num_classes: Sequence[int]) -> None:
        """Set the goal; raise `UsageError` if the members of an ensemble are to leave different classes."""
        super().aim(criteria, num_classes)
        given = torch.tensor([not isinstance(criterion, Misclassification) for criterion in criteria])
        given, classes = given.to(self.label.device), self.goal.classes
        if not (classes[given] == classes[given, :1]).all():
            raise UsageError("attacks of other libraries see one classifier, so its members need the same label")
        self.label = torch.where(given, classes[:, 0], self.label)


@dataclass(frozen=True)
class PeerAttack(IterativeAttack[PeerState]):
    """An attack of another library, by default on one image at a time, each with its own random numbers.

    The library sees one classifier of images in [0, 1] and the class to leave: by default the classifier's own
    decision. Of an ensemble it sees the mean of the members' logits; success is still judged by every member.

    Parameters
    ----------
    name : str
        ``foolbox:NAME``, ``torchattacks:NAME``, ``torchattack:NAME``, ``art:NAME`` or ``adv-lib:NAME``, by the name in
        the library.
    constants : dict
        Arguments of the attack; the others keep the library's defaults. An argument ``seed`` is by default the image's
        own. Attacks of foolbox also take ``epsilon``, the bound of the perturbation.
    version : str, optional
        Version of the library; by default the installed one.
    together : int
        How many images the library gets at a time: many, for the speed of a GPU. They share the random numbers of the
        first one's seed, so that results depend on the batch, and passes are means over it.

    Raises
    ------
    UsageError
        If there is no such library, or ``together`` is below 1.

    Examples
    --------
    >>> PeerAttack("torchattack:BSR", {"steps": 3}, version="1.7.2").hyperparameters()
    {'steps': 3, 'torchattack': '1.7.2'}
    """

    bytes_per_pixel: ClassVar[int] = 300
    takes_ensembles: ClassVar[bool] = True
    in_one_step: ClassVar[bool] = True
    typical_steps: ClassVar[int] = 60

    name: str  # type: ignore[misc]  # of the object here: one class for all attacks of a library
    constants: Mapping[str, Constant] = field(default_factory=dict, hash=False)
    version: str | None = None
    together: int = 1

    def __post_init__(self) -> None:
        if self.together < 1:
            raise UsageError(f"{self.name}: {TOGETHER} must be at least 1, not {self.together}")
        prefix, _, _ = self.name.partition(":")
        check_known("library of methods", prefix, LIBRARIES)
        if self.version is None:
            object.__setattr__(self, "version", self.library.version())

    @property
    def library(self) -> PeerLibrary:
        """The library."""
        return LIBRARIES[self.name.partition(":")[0]]

    def hyperparameters(self) -> dict[str, Constant]:
        """Return the constants, and the library's version by its name: another one may give other images."""
        together: dict[str, Constant] = {} if self.together == 1 else {TOGETHER: self.together}
        return {**self.constants, **together, self.library.package: self.version or ""}

    @property
    def largest_batch(self) -> int:
        """``together``."""
        return self.together

    def check(self, classifier: nn.Module) -> None:
        """Raise `UsageError` unless the library is installed in this version and has the attack with these constants.

        An ensemble's members must have the same number of classes.
        """
        library = self.library
        attack = library.find(self.name.partition(":")[2])
        if self.version != (installed := library.version()):
            pinned = f"{library.package}=={self.version}"
            raise UsageError(f"{self.name} of {pinned} is needed, and {installed} is installed: pip install {pinned}")
        library.check(self.name, attack, self.constants)
        if isinstance(classifier, Ensemble):
            check_class_counts([m.num_classes for m in members_of(classifier)])

    def begin(self, classifier: nn.Module, images: Tensor, seeds: Sequence[int]) -> PeerState:
        """Find the class that each image is to leave."""
        self.check(classifier)
        logits = clean_member_logits(classifier, images)
        label, seed = mean_logits(logits).argmax(1), torch.tensor([int(seed) for seed in seeds])
        return PeerState.start(images, classes_of(classifier, logits), label=label, seed=seed.to(images.device))

    def step(self, classifier: nn.Module, state: PeerState) -> None:
        """Run the whole attack."""
        observed = ObservedClassifier(classifier, state.images.device)
        state.adversarial = self._run(observed, state.images.clone(), state.label.clone(), int(state.seed[0]))
        state.forward_passes += round(observed.forward_passes / len(state.images))
        state.backward_passes += round(observed.backward_passes / len(state.images))
        state.iterations += observed.gradients or observed.calls
        state.converged, state.finished = ~state.converged, ~state.finished

    def _run(self, observed: ObservedClassifier, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        attack, constants = self.library.find(self.name.partition(":")[2]), dict(self.constants)
        if "seed" in self.library.parameters(attack):
            constants.setdefault("seed", seed % 2**32)
        try:
            with seeded(seed, images.device), redirect_stdout(StringIO()):
                result = self.library.run(attack, constants, observed, images, labels)
        except (RuntimeError, AssertionError) as error:
            if images.device.type == "cuda" or not re.search("cuda|nvidia", str(error), re.IGNORECASE):
                raise
            raise UsageError(f"{self.name} with these constants runs on a CUDA device only ({error})") from error
        if result.shape != images.shape:
            made, given = tuple(result.shape), tuple(images.shape)
            raise UsageError(f"{self.name} made images of shape {made} of some of {given}")
        return result.detach().to(images).clamp(0, 1)


def make_peer_attack(name: str, constants: Mapping[str, object]) -> PeerAttack:
    """Return an attack of another library with these constants, in which strings that are numbers are converted.

    Nothing is imported; `PeerAttack.check` says whether the library has it.

    Parameters
    ----------
    name
        See `PeerAttack`.
    constants
        Its constants, and perhaps ``together`` and the library's version by the name of its package.

    Raises
    ------
    UsageError
        If there is no such library, a constant is not a number, a text, true or false, or ``together`` is no whole
        number from 1.

    Examples
    --------
    >>> make_peer_attack("torchattack:BSR", {"steps": "3", "torchattack": "1.7.2"}).hyperparameters()
    {'steps': 3, 'torchattack': '1.7.2'}
    """
    library = PeerAttack(name).library
    plain = {field: _convert(name, field, value) for field, value in constants.items() if field != library.package}
    version = str(constants[library.package]) if constants.get(library.package) else None
    together = plain.pop(TOGETHER, 1)
    if isinstance(together, bool) or not isinstance(together, int):
        raise UsageError(f"{name}: {TOGETHER}={together}: must be a whole number")
    return PeerAttack(name, plain, version, together)


def _convert(method: str, name: str, value: object) -> Constant:
    if not isinstance(value, Constant):
        raise UsageError(f"{method}: {name}={value}: must be a number, a text, true or false")
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for number in (int, float):
        with suppress(ValueError):
            return number(value)
    return value
