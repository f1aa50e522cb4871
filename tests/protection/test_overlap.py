"""Nothing is written among the photos that are read."""

import pytest

from edgefool.datasets import find_photos
from edgefool.errors import UsageError
from edgefool.protection.overlap import refuse_link, refuse_overlap


@pytest.fixture
def refused(tmp_path, make_photo):
    make_photo(tmp_path / "in/sub/a.png")
    make_photo(tmp_path / "in/b.png")

    def refused(folder, *sources):
        paths = [tmp_path / source for source in sources]
        try:
            refuse_overlap(tmp_path / folder, find_photos(paths), paths)
        except UsageError as error:
            return "choose another folder" in str(error)
        return False

    return refused


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("in", "in"),
        ("in/new", "in"),
        (".", "in"),
        ("in", "in/b.png"),
        ("in/new", "in/**/*.png"),
        ("in/sub/new", "in/**/*.png"),
        ("in", "in/*.png"),
        ("in/new", "in/*/*.png"),
        ("in/new", "i*/**/*.png"),
    ],
)
def test_folders_in_which_photos_are_looked_for(refused, folder, source):
    assert refused(folder, source)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("out", "in"),
        ("in-2", "in"),
        ("in/new", "in/b.png"),
        ("in/new", "in/*.png"),
        ("in/new", "in/s*/*.png"),
        ("out", "i*/**/*.png"),
    ],
)
def test_other_folders(refused, folder, source):
    assert not refused(folder, source)


def test_a_link_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="link is a link, which is not followed"):
        refuse_link(tmp_path / "link")
    refuse_link(tmp_path)
