"""Where reports lie, on folders made by hand."""

from pathlib import Path

import pytest

from edgefool.errors import UsageError
from edgefool.protection.report_place import RECORDS, folder_of_results, is_report, refuse_published, report_of


@pytest.fixture
def results(tmp_path):
    """Return a folder of results with a subfolder, and its report next to it."""
    (tmp_path / "to-post/sub").mkdir(parents=True)
    (tmp_path / "to-post-report").mkdir()
    (tmp_path / "to-post-report" / RECORDS).touch()
    return tmp_path / "to-post"


def test_whatever_lies_in_results_is_found(results, tmp_path):
    for path in (results, results / "sub", results / "sub/cat.jpg", results / "new/cat.jpg-report"):
        assert folder_of_results(path) == results
    for path in (tmp_path, tmp_path / "to-post-report", tmp_path / "to-post-2", Path("/")):
        assert folder_of_results(path) is None


def test_only_a_place_outside_of_results_is_allowed(results, tmp_path):
    refuse_published(report_of(results))
    refuse_published(tmp_path / "elsewhere")
    for path in (results, results / "sub/r", report_of(results / "sub")):
        with pytest.raises(UsageError, match="would show originals inside"):
            refuse_published(path)


def test_a_report_is_told_from_folders_that_are_called_alike(results, tmp_path):
    (tmp_path / "annual-report").mkdir()
    assert is_report(report_of(results))
    assert not is_report(tmp_path / "annual-report")
    with pytest.raises(UsageError, match="no place for a report"):
        report_of(Path("/"))
