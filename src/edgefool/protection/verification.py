"""The outcome of a verification: rates over photos, a table, and JSON."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import pandas as pd

from edgefool.classifiers import Classifier
from edgefool.metrics.rates import Rate, wilson_rate
from edgefool.protection.findings import VERSIONS, Finding, VerifiedPhoto


@dataclass(frozen=True)
class Judge:
    """A classifier that judged.

    Attributes
    ----------
    name, fingerprint
        Of the classifier.
    attacked
        Whether the photos were made to fool it; None if that is not known.
    """

    name: str
    fingerprint: str
    attacked: bool | None

    def __str__(self) -> str:
        return f"{self.name} ({self.role})"

    @property
    def role(self) -> str:
        """Whether it was attacked, in words."""
        return {True: "attacked", False: "not attacked", None: "not known whether attacked"}[self.attacked]


@dataclass(frozen=True)
class Rates:
    """How often a classifier changes its decision on one version of the photos.

    Attributes
    ----------
    judge, version
        Who, and one of `edgefool.protection.findings.VERSIONS`.
    changed
        The share of the photos whose result has another class than the original.
    alone
        The same for enhancement alone, the null method, over the photos whose strength is known.
    left_group, alone_left_group
        The share that leaves the semantic group of the original's class, over the photos whose class has one.
    pillow
        `changed` where Pillow resizes.
    disagree
        Number of photos with another class, of the original or the result, where Pillow resizes.
    """

    judge: Judge
    version: str
    changed: Rate
    alone: Rate
    left_group: Rate
    alone_left_group: Rate
    pillow: Rate
    disagree: int

    def __str__(self) -> str:
        return f"{self.judge}, {VERSIONS[self.version]}: changed class in {in_words(self.changed)}"


@dataclass(frozen=True)
class Verification:
    """What classifiers say about photos and their results.

    Attributes
    ----------
    judges
        The classifiers, those that were not attacked first.
    photos
        What was found out about each.
    notes
        Files without a partner, and links that lead out of the folder of results.
    page
        The page about it.
    """

    judges: tuple[Judge, ...]
    photos: tuple[VerifiedPhoto, ...]
    notes: tuple[str, ...] = ()
    page: Path | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every file had a partner and could be judged."""
        return not self.notes and not any(photo.error for photo in self.photos)

    @property
    def rates(self) -> list[Rates]:
        """For each judge and version."""
        return [self._rates(judge, version) for judge in self.judges for version in VERSIONS]

    def table(self) -> pd.DataFrame:
        """Return a row for each photo, judge and version; photos that could not be judged have one with the error."""
        names = {judge.fingerprint: judge for judge in self.judges}
        rows = [_row(photo, names[finding.classifier], finding) for photo in self.photos for finding in photo.findings]
        rows += [{"photo": p.photo, "result": p.result, "error": p.error} for p in self.photos if p.error]
        return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)

    def to_json(self) -> str:
        """Return everything, rates with their intervals too."""
        return json.dumps(
            {
                "edgefool": version_of("edgefool"),
                "versions": VERSIONS,
                "classifiers": [asdict(judge) for judge in self.judges],
                "rates": [_rates_as_json(found) for found in self.rates],
                "notes": self.notes,
                "photos": [photo.model_dump() for photo in self.photos],
            },
            indent=1,
            ensure_ascii=False,
        )

    def _rates(self, judge: Judge, version: str) -> Rates:
        findings = [
            finding
            for photo in self.photos
            for finding in photo.findings
            if (finding.classifier, finding.version) == (judge.fingerprint, version)
        ]
        own = [finding.own for finding in findings]
        return Rates(
            judge=judge,
            version=version,
            changed=_share(answers.changed for answers in own),
            alone=_share(answers.alone_changed for answers in own),
            left_group=_share(answers.left_group for answers in own),
            alone_left_group=_share(answers.alone_left_group for answers in own),
            pillow=_share(finding.pillow.changed for finding in findings),
            disagree=sum(finding.resizers_disagree for finding in findings),
        )


def make_judges(classifiers: Sequence[Classifier], attacked: frozenset[str] | None) -> tuple[Judge, ...]:
    """Return classifiers as judges, those that were not attacked first.

    Parameters
    ----------
    classifiers
        Who judges.
    attacked
        Fingerprints of the attacked ones; None if they are not known.
    """
    judges = [
        Judge(c.name, c.fingerprint, None if attacked is None else c.fingerprint in attacked) for c in classifiers
    ]
    return tuple(sorted(judges, key=lambda judge: judge.attacked is True))


def in_words(found: Rate) -> str:
    """Return a rate with its interval as people say it.

    >>> in_words(wilson_rate([True] * 31 + [False] * 9))
    '31 of 40 photos, 78 % (62 to 88 %)'
    >>> in_words(wilson_rate([]))
    'no photos'
    """
    if not found.count:
        return "no photos"
    hits = round(found.value * found.count)
    return f"{hits} of {found.count} photo{'' if found.count == 1 else 's'}, {percent_of(found)}"


def percent_of(found: Rate) -> str:
    """Return a rate over some photos and its interval in percent, rounded outwards.

    >>> percent_of(wilson_rate([True] * 31 + [False] * 9))
    '78 % (62 to 88 %)'
    >>> percent_of(wilson_rate([False] * 10_000))
    '0 % (0 to 1 %)'
    """
    value, low, high = (100 * share for share in found[:3])
    return f"{math.floor(value + 0.5)} % ({math.floor(low)} to {math.ceil(high)} %)"


def _share(hits: Iterable[bool | None]) -> Rate:
    return wilson_rate([hit for hit in hits if hit is not None])


_ANSWERS = ("before", "after", "alone")
_COLUMNS = [
    *("photo", "result", "classifier", "attacked", "version"),
    *(f"{name}{field}" for name in _ANSWERS for field in ("", "_probability", "_group")),
    *("changed", "alone_changed", "left_group", "alone_left_group"),
    *("pillow_before", "pillow_after", "resizers_disagree", "error"),
]


def _row(photo: VerifiedPhoto, judge: Judge, finding: Finding) -> dict[str, object]:
    own = finding.own
    row: dict[str, object] = {
        "photo": photo.photo,
        "result": photo.result,
        "classifier": judge.name,
        "attacked": judge.attacked,
        "version": finding.version,
        "changed": own.changed,
        "alone_changed": own.alone_changed,
        "left_group": own.left_group,
        "alone_left_group": own.alone_left_group,
        "resizers_disagree": finding.resizers_disagree,
    }
    for name in _ANSWERS:
        if said := getattr(own, name):
            row |= {name: said.name, f"{name}_probability": said.probability, f"{name}_group": said.group or None}
    row |= {"pillow_before": finding.pillow.before.name, "pillow_after": finding.pillow.after.name}
    return row


def _rates_as_json(found: Rates) -> dict[str, object]:
    shares = ("changed", "alone", "left_group", "alone_left_group", "pillow")
    return {
        "classifier": found.judge.name,
        "attacked": found.judge.attacked,
        "version": found.version,
        **{name: _rate_as_json(getattr(found, name)) for name in shares},
        "resizers_disagree": found.disagree,
    }


def _rate_as_json(found: Rate) -> dict[str, float | int] | None:
    """Return a rate, None if it is over no photos."""
    if not found.count:
        return None
    hits = round(found.value * found.count)
    return {"photos": hits, "of": found.count, "share": found.value, "low": found.low, "high": found.high}
