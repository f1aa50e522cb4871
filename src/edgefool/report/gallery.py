"""The gallery of a page: its images, their captions and their files."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from PIL import Image

from edgefool.report.figures import titles
from edgefool.report.results import Results
from edgefool.runs import Record, RunFolder
from edgefool.storage import StorePath

MAX_IMAGES = 3000
"""How many images a page shows by default."""

_THUMBNAIL = 256  # pixels
_LARGE = 640  # pixels; images with a longer side get a thumbnail


@dataclass(frozen=True)
class Gallery:
    """The images that a page shows.

    Attributes
    ----------
    data : dict
        For the page's script, as JSON.
    shown, total, missing : int
        How many images it shows, how many the run has, and how many of these lack a file.
    """

    data: dict[str, Any]
    shown: int
    total: int
    missing: int


def make_gallery(run: RunFolder, results: Results, folder: Path, max_images: int = MAX_IMAGES) -> Gallery:
    """Copy the files of the first photos of every cell into a folder, the same photos so that cells can be compared.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    cells = [name for name in results.cells if results.records.get(name)]
    total = sum(len(results.records[name]) for name in cells)
    files = {record.key: _files(run, record) for name in cells for record in results.records[name]}
    missing = set(run.path.store.missing({path.key for paths in files.values() for path in paths.values()}))
    whole = {
        name: [r for r in results.records[name] if not any(path.key in missing for path in files[r.key].values())]
        for name in cells
    }
    chosen = _share_out(whole, max_images)
    by_name = titles(results)
    data = {
        "cells": [
            {
                "dataset": results.cells[name].dataset,
                "method": by_name[results.methods[name]],
                "classifier": results.cells[name].classifier,
                "folder": name,
                "targets": [target.classifier for target in results.targets[results.cells[name].dataset]],
            }
            for name in cells
        ],
        "items": [_item(results, number, record) for number, name in enumerate(cells) for record in chosen[name]],
    }
    _copy_files(run, [record for records in chosen.values() for record in records], folder)
    return Gallery(data, len(data["items"]), total, total - sum(map(len, whole.values())))


def _share_out(records: Mapping[str, Sequence[Record]], most: int) -> dict[str, Sequence[Record]]:
    """Return the first records of each cell, as equally shared as possible, at most ``most`` in total."""
    left, chosen = most, {}
    for position, name in enumerate(sorted(records, key=lambda name: len(records[name]))):
        chosen[name] = records[name][: left // (len(records) - position)]
        left -= len(chosen[name])
    return chosen


def _item(results: Results, cell: int, record: Record) -> dict[str, Any]:
    """Return the page's data of an image; keys are short, as there are thousands of images."""
    psnr = None if record.psnr == float("inf") else record.psnr
    return {
        "c": cell,
        "i": record.image,
        "n": PureWindowsPath(record.source).name or record.image,
        "s": int(record.success) + 2 * int(record.success_float),
        "o": _decision(record, "original"),
        "a": _decision(record, "adversarial"),
        "w": [record.width, record.height],
        "x": int(record.structure_png is not None) + 2 * int(_is_large(record)) + 4 * int(record.mask_png is not None),
        "t": _transfers(results, record),
        "m": [record.iterations, _round(record.seconds), _round(psnr), _round(record.ssim)],
    }


def _transfers(results: Results, record: Record) -> str:
    """Return a letter per target: its class changes (``y``), does not (``n``), or is unknown (``-``)."""
    letters = []
    for target in results.targets[record.dataset]:
        clean = results.of_originals(record.dataset, target.fingerprint).get(record.image)
        adversarial = results.of_adversarial(record.cell, target.fingerprint).get(record.image)
        if not clean or not adversarial or target.fingerprint == results.cells[record.cell].fingerprint:
            letters.append("-")
        else:
            letters.append("yn"[clean.predicted == adversarial.predicted])
    return "".join(letters)


def _decision(record: Record, image: Literal["original", "adversarial"]) -> list[str | float | None]:
    """Return the class and its probability; of an ensemble those of all members as one text, and None."""
    (name, probability), *others = record.decisions(image)
    if others:
        return [" | ".join(_class_name(name) or "" for name, _ in record.decisions(image)), None]
    return [_class_name(name), _round(probability)]


def _class_name(name: str | None) -> str | None:
    return name and name.replace("_", " ")


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _is_large(record: Record) -> bool:
    return max(record.width or 0, record.height or 0) > _LARGE


def _files(run: RunFolder, record: Record) -> dict[str, StorePath]:
    """Return the files of a record's images by their places in the gallery."""
    files = {}
    for kind in record.files():
        path = run.image_path(kind, record)
        place = "adversarial" if kind == record.kind else kind
        files[f"{place}/{path.relative_to(run.path / kind)}"] = path
    return files


def _copy_files(run: RunFolder, records: Sequence[Record], folder: Path) -> None:
    """Copy the images into a folder for each kind, and make ``thumbnails`` of large ones."""
    copies: dict[Path, StorePath] = {}
    thumbnails: dict[Path, StorePath] = {}
    for record in records:
        copies |= {folder / place: path for place, path in _files(run, record).items()}
        if _is_large(record):
            place = folder / "thumbnails" / record.cell / f"{record.image}.jpg"
            thumbnails[place] = run.image_path(record.kind, record)
    for parent in {path.parent for path in (*copies, *thumbnails)}:
        parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(StorePath.copy_to, copies.values(), copies.keys()))
        list(pool.map(_shrink, thumbnails.values(), thumbnails.keys()))


def _shrink(source: StorePath, target: Path) -> None:
    with Image.open(io.BytesIO(source.read()), formats=["PNG"]) as image:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
        image.save(target, quality=85)
