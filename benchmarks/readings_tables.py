"""Results of `benchmarks.readings` and their tables: readings of the paper's Table 1 beside its figures."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgefool.metrics import PAPER_SQUEEZERS, Rate, detectability, detection_threshold, mean_rate, rate
from edgefool.report.paper import format_share, method_title, paper_detectability

ORIGINAL = "original"
ROUNDED, FLOAT = "8 bits", "before rounding"
LOWER = "median2-lower"
SQUEEZERS = (*PAPER_SQUEEZERS, LOWER)
_IN_PAPER = {"resnet50": "resnet50", "resnet18": "resnet18", "squeezenet1_1": "alexnet"}
_NEAR = 0.05  # a share agrees with the paper's figure if that is in its interval or this near


class Reading(NamedTuple):
    """A way to read a row of Table 1: which attack, and which of its images are squeezed."""

    title: str
    attack: str
    images: str


READINGS = {  # the first of each method is that of docs/results.md
    "edgefool": (
        Reading("trained start, 8 bits", "edgefool", ROUNDED),
        Reading("trained start, before rounding", "edgefool", FLOAT),
        Reading("identity start, 8 bits", "edgefool-identity", ROUNDED),
        Reading("identity start, before rounding", "edgefool-identity", FLOAT),
    ),
    "nfgsm": (
        Reading("all steps", "nfgsm", ROUNDED),
        Reading("until the first success", "nfgsm-first", ROUNDED),
    ),
    "deepfool": (
        Reading("8 bits", "deepfool", ROUNDED),
        Reading("before rounding", "deepfool", FLOAT),
        Reading("authors' space without clipping, 8 bits", "deepfool-authors", ROUNDED),
        Reading("authors' space without clipping, before rounding", "deepfool-authors", FLOAT),
    ),
    "cw": (Reading("8 bits", "cw", ROUNDED), Reading("before rounding", "cw", FLOAT)),
    "enhance": (Reading("no attack", "enhance", ROUNDED),),
}


@dataclass
class Log:
    """The results of one classifier, by attack and image; each is also a line of a file, if there is one.

    ``constants``: the hyper-parameters of each attack; results with others do not count.
    """

    classifier: str
    constants: Mapping[str, dict[str, Any]]
    file: Path | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the lines of the same classifier and constants; the last may be incomplete."""
        text = self.file.read_text(encoding="utf-8") if self.file and self.file.exists() else ""
        complete = text[: text.rfind("\n") + 1]
        if self.file and complete != text:
            self.file.write_text(complete, encoding="utf-8")
        for line in map(json.loads, complete.splitlines()):
            if line["classifier"] == self.classifier and line["constants"] == self.constants.get(line["attack"], {}):
                self.of(line["attack"])[line["image"]] = line

    def of(self, attack: str) -> dict[str, Any]:
        """Return the results of an attack by image."""
        return self.results.setdefault(attack, {})

    def add(self, attack: str, image: str, **values: object) -> None:
        """Add a result."""
        own = self.constants.get(attack, {})
        fixed = {"classifier": self.classifier, "attack": attack, "constants": own, "image": image}
        self.of(attack)[image] = line = fixed | values
        if self.file:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def print_tables(log: Log) -> None:
    """Print all tables."""
    network = _IN_PAPER.get(log.classifier, "")
    _print_readings(log, network)
    _print_starts(log)
    if network:
        _print_explanations(log, network)


def _detected(log: Log, reading: Reading, only: Collection[str] | None = None) -> list[Rate]:
    """Return the share of images detected by each of `SQUEEZERS`, then by all of the paper's together."""
    originals, adversarial = log.of(ORIGINAL), log.of(reading.attack)
    images = sorted(originals)
    clean = np.array([originals[image]["scores"][ROUNDED] for image in images])
    missing = [np.nan] * len(SQUEEZERS)
    after = np.array([adversarial[i]["scores"][reading.images] if i in adversarial else missing for i in images])
    which = np.array([only is None or image in only for image in images])
    *paper, joint, _ = detectability(clean[:, :-1], after[:, :-1], which=which)
    lower, *_ = detectability(clean[:, -1:], after[:, -1:], which=which)
    return [*paper, lower, joint]


def _print_readings(log: Log, network: str) -> None:
    """Print the misleading rate and detectability of each reading, the paper's figures above."""
    print(_table_head("method", "reading", "images", "misled", "margin, 8 bits", "iterations", *SQUEEZERS, "joint"))
    for method, readings in READINGS.items():
        figures = [paper_detectability("imagenet", method, network, squeezer) for squeezer in PAPER_SQUEEZERS]
        if figures[0] == figures[0]:
            print(_table_row(method_title(method, method), "the paper", *[""] * 4, *map(format_share, figures), "", ""))
        for reading in readings:
            if results := log.of(reading.attack).values():
                misled = rate([result["misled"][reading.images] for result in results])
                margins, iterations = ([result[key] for result in results] for key in ("margin", "iterations"))
                facts = [str(len(results)), _share(misled), f"{np.median(margins):.2f}", f"{np.median(iterations):.0f}"]
                names = method_title(method, method), reading.title
                print(_table_row(*names, *facts, *map(_share, _detected(log, reading))))


def _print_starts(log: Log) -> None:
    """Print the detectability of EdgeFool from both starts, and the paired difference, on the same images."""
    trained, identity = READINGS["edgefool"][0], READINGS["edgefool"][2]
    originals, first, second = (log.of(name) for name in (ORIGINAL, trained.attack, identity.attack))
    both = sorted(first.keys() & second.keys() & originals.keys())
    if not both:
        return
    print(f"\nEdgeFool from both starts on the same {len(both)} images\n")
    print(_table_head("", *SQUEEZERS, "joint"))
    for reading in (READINGS["enhance"][0], trained, identity):
        print(_table_row(reading.title, *map(_share, _detected(log, reading, both))))
    differences = []
    for column in [*([k] for k in range(len(SQUEEZERS))), list(range(len(PAPER_SQUEEZERS)))]:
        clean, before, after = (
            np.array([result["scores"][ROUNDED] for result in results])[:, column].max(1)
            for results in (originals.values(), [first[i] for i in both], [second[i] for i in both])
        )
        threshold = detection_threshold(clean)
        differences.append(mean_rate((after > threshold).astype(float) - (before > threshold)))
    print(_table_row("identity less trained", *map(_share, differences)))


def _print_explanations(log: Log, network: str) -> None:
    """Print, for each cell of Table 1 that differs, which readings give the paper's figure."""
    print("\nCells of the paper's Table 1 that differ, and the readings that give the paper's figure\n")
    print(_table_head("method", "squeezer", "the paper", "as in docs/results.md", "explained by"))
    for method, readings in READINGS.items():
        rates = {reading.title: _detected(log, reading) for reading in readings if log.of(reading.attack)}
        if readings[0].title not in rates:
            continue
        for column, squeezer in enumerate(PAPER_SQUEEZERS):
            figure = paper_detectability("imagenet", method, network, squeezer)
            ours = {title: every[column] for title, every in rates.items()}
            if squeezer == "median2":
                lower = SQUEEZERS.index(LOWER)
                ours |= {f"{title}, lower median": every[lower] for title, every in rates.items()}
            usual = ours.pop(readings[0].title)
            if figure == figure and not _agrees(usual, figure):
                found = [f"{title}: {_share(each)}" for title, each in ours.items() if _agrees(each, figure)]
                names = method_title(method, method), squeezer, format_share(figure), _share(usual)
                print(_table_row(*names, "; ".join(found) or "none"))


def _agrees(ours: Rate, figure: float) -> bool:
    """Return whether a figure of the paper lies in the interval of a share or near the share."""
    return ours.low <= figure <= ours.high or abs(ours.value - figure) <= _NEAR


def _share(value: Rate) -> str:
    """Format a share with its interval."""
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})".replace("0.", ".")


def _table_head(*names: str) -> str:
    """Return the first two lines of a table."""
    return _table_row(*names) + "\n" + _table_row(*["---"] * len(names))


def _table_row(*cells: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"
