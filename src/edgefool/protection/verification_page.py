"""The page of a verification."""

from typing import Any

from edgefool.protection.findings import VERSIONS, Finding, VerifiedPhoto
from edgefool.protection.verification import Judge, Rates, Verification, in_words, percent_of
from edgefool.report.html import render_page

MAX_PHOTOS = 1000
"""Photos that a page shows."""

_SIDE = 640  # of previews, for the browser to keep room


def render(verification: Verification, name: str, previews: str) -> str:
    """Return the page.

    Parameters
    ----------
    verification
        What it shows.
    name
        Its title: the folder of results.
    previews
        The folder of the previews, relative to the page.
    """
    judged = [photo for photo in verification.photos if photo.findings]
    judges = {judge.fingerprint: judge for judge in verification.judges}
    rates = verification.rates
    errors = [f"{photo.photo}: {photo.error}" for photo in verification.photos if photo.error]
    return render_page(
        "verification",
        name=name,
        judges=verification.judges,
        has_unseen=any(judge.attacked is False for judge in verification.judges),
        rates=rates,
        headlines=_headlines(rates),
        versions=VERSIONS,
        has_groups=any(found.left_group.count for found in rates),
        words=in_words,
        percent=percent_of,
        notes=[*verification.notes, *errors],
        photos=judged,
        weakened=sum(photo.factor < 1 for photo in judged),
        left_out=max(0, len(judged) - MAX_PHOTOS),
        shown=[_show(photo, judges, previews) for photo in judged[:MAX_PHOTOS]],
    )


def _headlines(rates: list[Rates]) -> list[tuple[Rates, Rates]]:
    """Return the rates on the files and after a social network: of the classifiers that were not attacked, if any."""
    unseen = [found for found in rates if not found.judge.attacked] or rates
    by_version = ([found for found in unseen if found.version == version] for version in ("file", "social"))
    return list(zip(*by_version, strict=True))


def _show(photo: VerifiedPhoto, judges: dict[str, Judge], previews: str) -> dict[str, Any]:
    order = list(judges)
    rows = sorted(photo.findings, key=lambda finding: order.index(finding.classifier))
    on_file = [_answers(judges, row) for row in rows if row.version == "file"]
    width, height = photo.photo_size
    scale = min(1, _SIDE / max(width, height))
    return {
        "name": photo.photo,
        "result": photo.result,
        "notes": photo.notes,
        "before": f"{previews}/{photo.previews}-before.jpg",
        "after": f"{previews}/{photo.previews}-after.jpg",
        "width": max(1, round(width * scale)),
        "height": max(1, round(height * scale)),
        "sizes": list(dict.fromkeys((photo.photo_size, photo.result_size))),
        "growth": photo.result_bytes / photo.photo_bytes if photo.photo_bytes else None,
        "factor": photo.factor,
        "kept": any(not row["own"].changed for row in on_file),
        "changed": any(row["own"].changed for row in on_file),
        "disagree": photo.resizers_disagree,
        "file": on_file,
        "others": [_answers(judges, row) for row in rows if row.version != "file"],
    }


def _answers(judges: dict[str, Judge], finding: Finding) -> dict[str, Any]:
    judge = judges[finding.classifier]
    where = judge.role if finding.version == "file" else VERSIONS[finding.version]
    return {"judge": judge, "where": where, "own": finding.own, "pillow": finding.pillow}
