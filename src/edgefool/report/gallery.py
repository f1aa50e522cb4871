"""The images of a page: which are shown, what is told of each, and the files that go with it."""

import os
import shutil
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from PIL import Image

from edgefool.report.figures import titles
from edgefool.report.results import Results
from edgefool.runs import Record, RunFolder
from edgefool.runs.run_folder import Kind
from edgefool.storage.files import is_remote

MAX_ITEMS = 3000
"""Images that a page shows unless it is told otherwise."""

_THUMBNAIL = 256  # pixels
_LARGE = 640  # an image of a larger side gets a thumbnail of its own


@dataclass(frozen=True)
class Gallery:
    """What a page shows of a run.

    Attributes
    ----------
    data : dict
        For the page's script; only what JSON can hold.
    shown, total : int
        Images that are shown, and that there are.
    missing : int
        Those whose files are gone.
    """

    data: dict[str, Any]
    shown: int
    total: int
    missing: int


def make_gallery(run: RunFolder, results: Results, folder: Path, most: int = MAX_ITEMS) -> Gallery:
    """Choose images and put their files into a folder: the same first photos of every cell, so that they compare.

    Files are linked where the disk can do that, else copied; large images get a thumbnail. Of a run in an object store
    the folder is on a disk.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    cells = [name for name in results.cells if results.records.get(name)]
    total = sum(len(results.records[name]) for name in cells)
    there = set(run.path.find()) if is_remote(run.path) else None  # one question for all
    whole = {name: [record for record in results.records[name] if _has_files(run, record, there)] for name in cells}
    missing = total - sum(map(len, whole.values()))
    chosen = _share_out(whole, most)
    named = titles(results)
    targets = {dataset: [cell.classifier for cell in targets] for dataset, targets in results.targets.items()}
    data = {
        "cells": [
            {
                "dataset": results.cells[name].dataset,
                "method": named[results.methods[name]],
                "classifier": results.cells[name].classifier,
                "folder": name,
                "targets": targets[results.cells[name].dataset],
            }
            for name in cells
        ],
        "items": [_item(results, number, record) for number, name in enumerate(cells) for record in chosen[name]],
    }
    _put_files(run, [record for records in chosen.values() for record in records], folder)
    return Gallery(data, len(data["items"]), total, missing)


def _share_out(records: dict[str, list[Record]], most: int) -> dict[str, list[Record]]:
    """Return the first records of each cell, the same number of each as far as they go, ``most`` in all."""
    left, chosen = most, {}
    for position, name in enumerate(sorted(records, key=lambda name: len(records[name]))):
        chosen[name] = records[name][: left // (len(records) - position)]
        left -= len(chosen[name])
    return chosen


def _item(results: Results, cell: int, record: Record) -> dict[str, Any]:
    """Return what is told of an image; keys are short as there are thousands."""
    return {
        "c": cell,
        "i": record.image,
        "n": PureWindowsPath(record.source).name or record.image,
        "s": int(record.success) + 2 * int(record.success_float),
        "o": [record.original_name, _rounded(record.original_probability)],
        "a": [record.adversarial_name, _rounded(record.adversarial_probability)],
        "w": [record.width, record.height],
        "x": int(record.structure_png is not None) + 2 * int(_is_large(record)),
        "t": _transferred(results, record),
        "m": [record.iterations, _rounded(record.seconds), _finite(record.psnr), _rounded(record.ssim)],
    }


def _transferred(results: Results, record: Record) -> str:
    """Return a letter per classifier: is the image another class for it? ``y``, ``n``, or ``-`` (not asked)."""
    letters = []
    for target in results.targets[record.dataset]:
        if target.fingerprint == results.cells[record.cell].fingerprint:
            letters.append("-")
            continue
        clean = results.of_originals(record.dataset, target.fingerprint).get(record.image)
        adversarial = results.of_adversarial(record.cell, target.fingerprint).get(record.image)
        letters.append("-" if not clean or not adversarial else "yn"[clean.predicted == adversarial.predicted])
    return "".join(letters)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _finite(value: float | None) -> float | None:
    return None if value is None or value == float("inf") else round(value, 2)


def _is_large(record: Record) -> bool:
    return max(record.width or 0, record.height or 0) > _LARGE


def _kinds(record: Record) -> list[Kind]:
    return ["originals", record.kind, *(["structure"] if record.structure_png else [])]  # type: ignore[list-item]


def _has_files(run: RunFolder, record: Record, there: Collection[object] | None) -> bool:
    paths = [run.image_path(kind, record) for kind in _kinds(record)]
    return all(path.is_file() if there is None else path in there for path in paths)


def _put_files(run: RunFolder, records: Iterable[Record], folder: Path) -> None:
    """Put the images into ``originals``, ``adversarial``, ``structure`` and ``thumbnails``."""
    jobs: dict[Path, Path] = {}
    thumbnails: dict[Path, Path] = {}
    for record in records:
        for kind in _kinds(record):
            source = run.image_path(kind, record)
            inside = source.relative_to(run.path / kind)
            jobs[folder / ("adversarial" if kind == record.kind else kind) / inside] = source
            if kind == record.kind and _is_large(record):
                thumbnails[folder / "thumbnails" / inside.with_suffix(".jpg")] = source
    for place in {path.parent for path in (*jobs, *thumbnails)}:
        place.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(_link, jobs.values(), jobs.keys()):
            pass
        for _ in pool.map(_shrink, thumbnails.values(), thumbnails.keys()):
            pass


def _link(source: Path, target: Path) -> None:
    if is_remote(source):
        target.write_bytes(source.read_bytes())
        return
    try:
        os.link(source, target)
    except OSError:  # not on every disk
        shutil.copyfile(source, target)


def _shrink(source: Path, target: Path) -> None:
    with source.open("rb") as file, Image.open(file, formats=["PNG"]) as image:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
        image.save(target, quality=85)
