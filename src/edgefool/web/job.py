"""One photo on its way: its files, how far it is, and how it is cancelled."""

import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

from edgefool.protection import Strength
from edgefool.protection.preview import encode_preview
from edgefool.protection.protector import Pixels
from edgefool.web.names import clean_name, split_name

State = Literal["waiting", "changing", "judging", "done", "failed"]

PREVIEW = 1600
"""Longer side of the pictures that a browser shows, in pixels."""


class CancelledError(Exception):
    """Nobody wants the photo any more."""


@dataclass(frozen=True)
class Options:
    """What a person chose: the strength, and the names of the classifiers to attack."""

    strength: Strength
    attack: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """How far a photo is.

    Attributes
    ----------
    state
        ``waiting`` for others, ``changing``, ``judging`` (the result is there), ``done`` or ``failed``.
    step, steps
        Of the attack: taken, and all.
    picture
        The last step of which there is a picture; 0: none.
    size
        Width and height of the upright photo; known from ``changing`` on.
    error
        Why it failed: a sentence.
    result
        Facts of the result, from ``judging`` on.
    verdicts
        What classifiers say, when it is ``done``.
    """

    state: State = "waiting"
    step: int = 0
    steps: int = 0
    picture: int = 0
    size: tuple[int, int] | None = None
    error: str = ""
    result: dict[str, Any] | None = None
    verdicts: list[dict[str, Any]] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed")


@dataclass(eq=False)
class Job:
    """A photo, what is to be done with it, and a folder for its files.

    Parameters
    ----------
    root
        The folder in which the job makes its own.
    name
        Of the photo's file, as its owner's browser sent it; it is cleaned.
    options
        What its owner chose.

    Attributes
    ----------
    id
        A secret: whoever knows it sees the photo.
    status
        Replaced as a whole, so that any thread may read it.
    """

    root: Path
    name: str
    options: Options
    id: str = field(default_factory=secrets.token_urlsafe)
    status: Status = Status()
    changed: float = 0.0
    _cancelled: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.name = clean_name(self.name)
        self.folder = self.root / self.id
        self.folder.mkdir()
        self.update()

    @property
    def source(self) -> Path:
        """The photo, under a name of ours."""
        return self.folder / f"photo{split_name(self.name)[1]}"

    @property
    def result(self) -> Path:
        """The changed photo's file."""
        return self.folder / "result"

    def picture(self, name: str) -> Path:
        """Return the file of a picture for the browser: ``original``, ``result`` or the number of a step."""
        return self.folder / f"{name}-preview.jpg"

    def save_picture(self, name: str, pixels: Pixels) -> None:
        """Write a picture for the browser."""
        self.picture(name).write_bytes(encode_preview(pixels, PREVIEW, quality=90))

    def update(self, **changes: Any) -> None:
        """Replace the status."""
        self.status = replace(self.status, **changes)
        self.changed = time.monotonic()

    def cancel(self) -> None:
        """Delete the files, and let the work on them end soon."""
        self._cancelled.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if the job is cancelled."""
        if self.is_cancelled:
            raise CancelledError
