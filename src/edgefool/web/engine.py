"""What is done with a photo: it is changed as by `edgefool protect`, and classifiers say what they see."""

import time
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

from edgefool.classifiers import Classifier
from edgefool.errors import ImageError, unknown
from edgefool.protection import PhotoFile, Protector, Strength, open_photo
from edgefool.protection.findings import Answers, Finding
from edgefool.protection.protector import Outcome, Pixels
from edgefool.protection.verifier import Verifier
from edgefool.web.job import Job, Options
from edgefool.web.names import split_name


class Engine:
    """Works on one job at a time, with loaded classifiers.

    Parameters
    ----------
    attacked, others
        The classifiers that are attacked unless a person chooses differently, and those that then only judge. No two
        have the same name.
    device
        Of the classifiers.
    max_megapixels
        As in `edgefool.read_image`.
    seconds_per_picture
        The least time between two pictures of an attack, which the browser draws on the cores of the attack.
    """

    def __init__(
        self,
        attacked: Sequence[Classifier],
        others: Sequence[Classifier] = (),
        *,
        device: str = "cpu",
        max_megapixels: float | None = None,
        seconds_per_picture: float = 0.5,
    ):
        self.attacked = tuple(classifier.name for classifier in attacked)
        self.classifiers = {classifier.name: classifier for classifier in (*attacked, *others)}
        self._verifier = Verifier(list(self.classifiers.values()))
        self._device, self._max_megapixels, self._pause = device, max_megapixels, seconds_per_picture

    def options(self, strength: str = "natural", attack: Sequence[str] = ()) -> Options:
        """Return options after checking them; by default those of `edgefool protect`.

        Raises
        ------
        UsageError
            If the strength or a classifier is unknown.
        """
        if strength not in get_args(Strength):
            raise unknown("strength", strength, get_args(Strength))
        for name in attack:
            if name not in self.classifiers:
                raise unknown("classifier", name, self.classifiers)
        return Options(cast(Strength, strength), tuple(dict.fromkeys(attack or self.attacked)))

    def run(self, job: Job) -> None:
        """Change a photo, and then let all classifiers judge; the job's status and files say how far it is.

        Raises
        ------
        CancelledError
            If the job is cancelled.
        ImageError
            If the photo cannot be read or changed.
        """
        photo = open_photo(job.source, max_megapixels=self._max_megapixels)
        if photo.is_protected:
            raise ImageError(f"was already changed by EdgeFool ({photo.mark}); use the original")
        self._show(job, photo)
        protector = Protector(
            job.options.strength, [self.classifiers[name] for name in job.options.attack], device=self._device
        )

        due = 0.0

        def watch(step: int, steps: int, image_now: Callable[[], Pixels]) -> None:
            nonlocal due
            job.check()
            picture = job.status.picture
            if time.monotonic() >= due or step == steps:
                due, picture = time.monotonic() + self._pause, step
                job.save_picture(str(step), image_now())
            job.update(step=step, steps=steps, picture=picture)

        data, outcome = protector.protect_photo(photo, watch=watch)
        job.check()
        job.result.write_bytes(data)
        job.save_picture("result", open_photo(job.result, max_megapixels=self._max_megapixels).upright())
        facts = _describe(job, photo, data, outcome)
        del photo, data
        job.update(state="judging", result=facts)
        judged = self._verifier.judge(
            job.source,
            job.result,
            job.options.strength,
            outcome.factor,
            max_megapixels=self._max_megapixels,
            watch=job.check,
        )
        job.update(state="done", verdicts=self._verdicts(job, judged.findings))

    def _show(self, job: Job, photo: PhotoFile) -> None:
        upright = photo.upright()
        job.save_picture("original", upright)
        job.check()
        job.update(state="changing", size=(upright.shape[1], upright.shape[0]))

    def _verdicts(self, job: Job, findings: Sequence[Finding]) -> list[dict[str, Any]]:
        """Return for each classifier what it says about each version."""
        return [
            {
                "classifier": name,
                "attacked": name in job.options.attack,
                "versions": {
                    found.version: _answers(found.own)
                    for found in findings
                    if found.classifier == classifier.fingerprint
                },
            }
            for name, classifier in self.classifiers.items()
        ]


def _answers(answers: Answers) -> dict[str, Any]:
    """Return the classes before, after and with enhancement alone, and what the two changes did."""
    derived = ("changed", "left_group", "alone_changed", "alone_left_group")
    return answers.model_dump() | {name: getattr(answers, name) for name in derived}


def _describe(job: Job, photo: PhotoFile, data: bytes, outcome: Outcome) -> dict[str, Any]:
    """Return the facts of a result."""
    return {
        "name": split_name(job.name)[0] + split_name(photo.name)[1],
        "format": photo.format,
        "bytes": len(data),
        "source_bytes": job.source.stat().st_size,
        "strength": job.options.strength,
        "attacked": list(job.options.attack),
        "factor": outcome.factor,
        "within_bounds": outcome.within_bounds,
        "ssim": outcome.quality.ssim,
        "notes": list(photo.notes),
    }
