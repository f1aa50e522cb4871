"""What was done to a photo of a folder: a line of the report."""

from typing import Literal

from edgefool.storage.keyed_log import Line


class PhotoRecord(Line):
    """A photo that was protected, skipped, or gave an error.

    Attributes
    ----------
    photo
        Path in the source.
    status
        What happened.
    options
        Under which the result was made: strength, metadata, and the fingerprint of the ensemble.
    source
        SHA-256 of where the photo is; empty in older lines.
    source_sha256, source_bytes
        Of the photo's file.
    result, result_sha256, result_bytes
        Path of the protected file in its folder, and of the file.
    seconds
        That it took.
    factor, within_bounds, ssim, ciede2000, smooth_delta_e, before, after
        See `edgefool.protection.protector.Outcome`.
    attacked
        Fingerprints of the attacked classifiers.
    notes
        What the file does not hold, or holds in another form; why the photo was skipped.
    error
        Why it gave an error.
    """

    photo: str
    status: Literal["protected", "skipped", "error"]
    options: dict[str, str]
    source: str = ""
    source_sha256: str = ""
    source_bytes: int = 0
    result: str = ""
    result_sha256: str = ""
    result_bytes: int = 0
    seconds: float = 0
    factor: float = 1
    within_bounds: bool = True
    ssim: float = 1
    ciede2000: float = 0
    smooth_delta_e: float = 0
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    attacked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """The photo."""
        return self.photo
