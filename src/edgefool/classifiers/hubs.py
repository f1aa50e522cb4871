"""Downloads by torchvision, timm and open_clip from their servers: progress bars, and errors in one line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from edgefool.classifiers.downloads import WORK_OFFLINE
from edgefool.classifiers.probe import describe
from edgefool.errors import EdgeFoolError, RunError, UsageError


@contextmanager
def downloading(name: str, progress: bool) -> Iterator[None]:
    """Let a library load the classifier ``name``, with or without its progress bars.

    Raises
    ------
    RunError
        If the file cannot be downloaded or is damaged.
    UsageError
        If there is no such file, or the library cannot use it.
    """
    from huggingface_hub import utils as hub

    verbosity = hub.logging.get_verbosity()
    hub.logging.set_verbosity(logging.ERROR)  # the hub's client logs each of its retries
    silence = not progress and not hub.are_progress_bars_disabled()  # type: ignore[attr-defined]
    if silence:
        hub.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    except EdgeFoolError:
        raise
    except Exception as error:  # each library has its own, and wraps those of others
        raise _explain(name, error) from error
    finally:
        hub.logging.set_verbosity(verbosity)
        if silence:
            hub.enable_progress_bars()  # type: ignore[attr-defined]


def _explain(name: str, error: Exception) -> EdgeFoolError:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    causes = list(_causes(error))
    refusal = next((cause for cause in causes if isinstance(cause, HfHubHTTPError)), None)
    if isinstance(refusal, GatedRepoError):
        return UsageError(f"{name} asks you to accept its terms on huggingface.co, and then: hf auth login")
    if refusal is not None and refusal.response.status_code in (401, 404):
        return UsageError(f"{name}: the hub has no such model or file, or it is private")
    # The innermost error says what happened; those around it only what it was needed for.
    failures: list[BaseException] = [cause for cause in causes if isinstance(cause, OSError | HTTPException)]
    if not failures and "invalid hash value" not in str(error):  # of torch.hub
        return UsageError(f"{name} cannot be loaded: {describe(error)}")
    reason = describe(failures[-1] if failures else error)
    return RunError(f"cannot download the weights of {name} ({reason}); try again, or {WORK_OFFLINE}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
