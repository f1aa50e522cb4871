"""Every kind of store in turn."""

from pathlib import Path

import pytest

from edgefool.storage import StorePath, parse_path


@pytest.fixture
def disk(tmp_path: Path) -> StorePath:
    """Return an empty folder on a disk."""
    (tmp_path / "disk").mkdir()
    return parse_path(tmp_path / "disk")


@pytest.fixture(params=["disk", "memory", "bucket"])
def place(request: pytest.FixtureRequest) -> StorePath:
    """Return an empty place in each kind of store in turn: a disk, a store in memory, and S3."""
    return request.getfixturevalue(request.param)
