"""Full float32 on GPUs, where torch by default rounds the inputs of convolutions to 10 fractional bits (TF32)."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from torch.backends import cuda, cudnn

_SETTINGS = (cudnn.conv, cudnn.rnn, cuda.matmul)  # type: ignore[attr-defined]
_lock, _before = Lock(), list[str]()
_users = 0
_allowed = True


@contextmanager
def full_float32() -> Iterator[None]:
    """Let GPUs compute convolutions and matrix products of float32 in float32, whatever torch is set to.

    Decisions, and the steps that lead to them, are then those of a CPU up to round-off. The settings are torch's, for
    the whole process; the last of the threads and blocks that need them restores what was before.

    >>> import torch
    >>> with full_float32():
    ...     torch.backends.cudnn.allow_tf32, torch.backends.cudnn.conv.fp32_precision
    (False, 'ieee')
    """
    global _users, _allowed
    with _lock:
        if not _users:
            _before[:] = [setting.fp32_precision for setting in _SETTINGS]
            _allowed = _tf32_is_allowed()
            _set(False, ["ieee"] * len(_SETTINGS))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _set(_allowed, _before)


def _tf32_is_allowed() -> bool:
    try:
        return cudnn.allow_tf32
    except RuntimeError:  # the newer settings, which can say more, were used
        return True


def _set(allowed: bool, values: list[str]) -> None:
    cudnn.allow_tf32 = allowed  # first, as it overwrites the newer ones
    for setting, value in zip(_SETTINGS, values, strict=True):
        setting.fp32_precision = value
