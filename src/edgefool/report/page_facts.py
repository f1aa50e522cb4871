"""The facts about a run on its page: datasets, classifiers, methods, machines and failures."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgefool.attacks import METHODS
from edgefool.datasets import DATASETS
from edgefool.metrics import rate
from edgefool.report.figures import titles
from edgefool.report.results import Results
from edgefool.runs import RunFolder
from edgefool.text import plain

_MAX_NAMED = 200  # images for each reason


def run_facts(run: RunFolder, results: Results) -> dict[str, Any]:
    """Return the facts about a run by their names in the page's template."""
    sessions = run.sessions()
    commands = dict.fromkeys(session.command for session in reversed(sessions) if session.command)
    return {
        "failures": _failures(results),
        "datasets": _datasets(results),
        "classifiers": _classifiers(results, {key: facts for s in sessions for key, facts in s.weights.items()}),
        "methods": _methods(results),
        "sizes": sorted({_format_size(cell.size) for cell in results.cells.values()}),
        "seeds": sorted({cell.seed for cell in results.cells.values()}),
        "sessions": sessions,
        "platforms": list(dict.fromkeys(session.platform for session in sessions)),
        "commands": [plain(_shorten(command)) for command in commands],  # the latest first
        "plan": run.plan.read().decode(),
    }


def _failures(results: Results) -> list[dict[str, Any]]:
    """Return the images that could not be attacked, by reason, the most frequent first."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for folder, records in results.errors.items():
        for record in records:
            reasons[plain(str(record.error))].append(plain(f"{record.source} ({folder})"))
    return [
        {"reason": reason, "images": images[:_MAX_NAMED], "more": max(0, len(images) - _MAX_NAMED)}
        for reason, images in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]


def _datasets(results: Results) -> list[dict[str, Any]]:
    images: dict[str, set[str]] = {cell.dataset: set() for cell in results.cells.values()}
    for folder, cell in results.cells.items():
        records = (*results.records.get(folder, ()), *results.errors.get(folder, ()))
        images[cell.dataset] |= {record.image for record in records}
    datasets = []
    for name, found in images.items():
        kind = results.kinds.get(name, "")
        about = DATASETS[kind].about if kind in DATASETS else ""
        datasets.append({"name": name, "images": len(found), "about": about, "kind": kind})
    return datasets


def _classifiers(results: Results, weights: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return the classifiers, with their accuracy on the originals if these have labels.

    ``weights`` has the tag and the licence of published weights, by fingerprint.
    """
    labels: dict[str, dict[str, int]] = defaultdict(dict)
    for folder, cell in results.cells.items():
        records = results.records.get(folder, ())
        labels[cell.dataset] |= {record.image: record.label for record in records if record.label is not None}
    classifiers = []
    for dataset, targets in results.targets.items():
        for target in targets:
            answers = results.of_originals(dataset, target.fingerprint) if results.fits(target) else {}
            right = [answers[name].predicted == label for name, label in labels[dataset].items() if name in answers]
            classifiers.append(
                {
                    "name": target.classifier,
                    "dataset": dataset,
                    "network": plain(Path(results.networks.get((dataset, target.classifier), "")).name),
                    "weights": weights.get(target.fingerprint, {}),
                    "classes": target.num_classes,
                    "fingerprint": target.fingerprint,
                    "accuracy": rate(right) if right else None,
                }
            )
    return classifiers


def _methods(results: Results) -> list[dict[str, Any]]:
    """Return the methods, each with the constants that differ from the defaults; of other libraries, those given."""
    by_name = titles(results)
    methods: dict[str, dict[str, Any]] = {}
    for folder, cell in results.cells.items():
        changed = dict(cell.constants)
        if cell.method in METHODS:
            attack = METHODS[cell.method]()
            changed = {name: value for name, value in cell.constants.items() if value != getattr(attack, name, None)}
        name = results.methods[folder]
        methods[f"{name} {changed}"] = {"title": by_name[name], "method": cell.method, "changed": changed}
    return list(methods.values())


def _format_size(size: int | str) -> str:
    return "their own size" if size == "native" else f"{size} × {size} pixels"  # noqa: RUF001


def _shorten(command: str) -> str:
    """Return a command with the program's name instead of its path."""
    program, _, rest = command.partition(" ")
    return f"edgefool {rest}" if Path(program).name in ("edgefool", "__main__.py") else command
