"""What a plan needs of another library of attacks."""

import importlib
import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from inspect import Parameter, isabstract, signature
from types import ModuleType
from typing import Any, ClassVar, TypeAlias, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from torch import Tensor, nn

from edgefool.errors import UsageError, check_known

Constant: TypeAlias = bool | int | float | str
AttackMaker: TypeAlias = Callable[..., Any]
"""A class of attacks, or a function that is one."""


class PeerLibrary(ABC):
    """Another library of attacks, which may not be installed.

    Attributes
    ----------
    prefix : str
        Of its methods' names.
    package : str
        Its name on PyPI.
    module : str
        The module that has its attacks.
    given : set of str
        Parameters of its attacks that do not come from a plan.
    """

    prefix: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]
    given: ClassVar[frozenset[str]]

    @abstractmethod
    def attacks(self) -> dict[str, AttackMaker]:
        """Return the library's attacks by name."""

    @abstractmethod
    def run(
        self, attack: AttackMaker, constants: Mapping[str, Constant], model: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Attack images.

        Parameters
        ----------
        attack
            One of `attacks`.
        constants
            Values of its `parameters`.
        model
            Images in [0, 1] to logits, in eval mode.
        images : Tensor
            (N, 3, H, W) in [0, 1].
        labels : Tensor
            (N,), int64: the classes to leave.

        Returns
        -------
        Tensor
            (N, 3, H, W): the adversarial images.
        """

    def parameters(self, attack: AttackMaker) -> dict[str, Parameter]:
        """Return the parameters of an attack that a plan may set, by name."""
        variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        found = signature(attack).parameters.items()
        return {name: p for name, p in found if name not in self.given and p.kind not in variadic}

    def version(self) -> str | None:
        """Return the installed version; None: it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def load(self) -> ModuleType:
        """Import the library; raise `UsageError` if that fails."""
        from edgefool.classifiers import vision  # noqa: F401  # after which other libraries can import torchvision

        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            needed = f"methods {self.prefix}:... need {self.package}"
            if self.version() is None:
                raise UsageError(f"{needed}: pip install {self.package}") from error
            raise UsageError(f"{needed}, whose import fails: {error}") from error

    def find(self, name: str) -> AttackMaker:
        """Return an attack by its name in the library; raise `UsageError`, with similar names, if there is none."""
        attacks = self.attacks()
        return attacks[check_known(f"attack of {self.package}", name, attacks)]

    def check(self, method: str, attack: AttackMaker, constants: Mapping[str, Constant]) -> None:
        """Raise `UsageError`, which names the method and the field, unless the attack takes these constants."""
        parameters = self.parameters(attack)
        hints = _hints(attack)
        for name, value in constants.items():
            check_known(f"field of {method}", name, parameters)
            if (problem := _problem(value, hints.get(name), parameters[name].default)) is not None:
                raise UsageError(f"{method}: {name}={value}: {problem}")
        for name, parameter in parameters.items():
            if parameter.default is Parameter.empty and name not in constants:
                raise UsageError(f"{method} needs the constant {name}")


def find_classes(module: object, base: type) -> dict[str, AttackMaker]:
    """Return the classes of attacks in a module by name: those of a base that are not abstract."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    return {name: t for name, t in found.items() if issubclass(t, base) and not isabstract(t)}


def _hints(attack: AttackMaker) -> dict[str, Any]:
    constructor = attack.__init__ if isinstance(attack, type) else attack  # type: ignore[misc]
    try:
        return get_type_hints(constructor)
    except (NameError, TypeError):  # types that are there for type checkers only
        return {}


def _problem(value: Constant, hint: Any, default: Any) -> str | None:
    """Return why a parameter with this type or default cannot have a value; None: it can, as far as that says."""
    if hint is None:
        if default is None or not isinstance(default, Constant):
            return None
        hint = type(default) if isinstance(default, bool | str) else float
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        return message[0].lower() + message[1:]
    except PydanticUserError:  # a type of the library that says nothing about plain values
        return None
    return None
