from typing import Annotated, ClassVar

import pytest
from pydantic.dataclasses import dataclass

from edgefool.attacks import METHODS, NFGSM, AbsentValue, attack_from_settings, make_attack, settings
from edgefool.attacks.attack import Count, IterativeAttack
from edgefool.attacks.state import State
from edgefool.errors import UsageError


@dataclass(frozen=True)
class Invented(IterativeAttack[State]):
    """Got two fields later, the defaults of which are not what it did before."""

    name: ClassVar[str] = "invented"

    steps: Count = 5
    momentum: Annotated[float, AbsentValue(0.0)] = 0.9
    smooth: Annotated[bool, AbsentValue(False)] = False

    def begin(self, classifier, images, seeds):
        raise NotImplementedError

    step = begin


@pytest.fixture(autouse=True)
def invented(monkeypatch):
    monkeypatch.setitem(METHODS, "invented", Invented)


def test_settings_leave_out_what_is_at_its_absent_value():
    assert settings(Invented()) == {"steps": 5, "momentum": 0.9}
    assert settings(Invented(momentum=0.0, smooth=True)) == {"steps": 5, "smooth": True}


def test_a_missing_field_has_its_absent_value_and_not_its_default():
    assert attack_from_settings("invented", {"steps": 3}) == Invented(steps=3, momentum=0.0)
    assert attack_from_settings("invented", {"momentum": 0.5}) == Invented(momentum=0.5)


def test_what_a_user_leaves_out_has_its_default():
    assert make_attack("invented", {"steps": "3"}) == Invented(steps=3)


@pytest.mark.parametrize("attack", [Invented(7, 0.0, True), Invented()])
def test_settings_make_the_same_attack_again(attack):
    assert attack_from_settings("invented", settings(attack)) == attack


@pytest.mark.parametrize("make", [make_attack, attack_from_settings])
@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("invented", {"momentun": 1}, "unknown field of invented 'momentun'; did you mean momentum"),
        ("invnted", {}, "unknown method 'invnted'; did you mean invented"),
        ("invented", {"steps": 0}, "invented: steps=0: input should be"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused(make, method, values, message):
    with pytest.raises(UsageError, match=message):
        make(method, values)


def test_attacks_without_later_fields_keep_all_their_settings():
    assert settings(NFGSM()) == {"epsilon": 8 / 255, "alpha": 1 / 255, "max_iterations": 10, "early_stop": False}
