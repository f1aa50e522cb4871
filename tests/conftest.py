"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with real classifiers and photos, or skip."""
    folder = Path(os.environ.get("EDGEFOOL_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real classifiers and images are not at hand ({folder}; set EDGEFOOL_SHARED)")
    return folder
