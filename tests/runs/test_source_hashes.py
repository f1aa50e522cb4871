import os

import pytest

from edgefool.runs.records import sha256
from edgefool.runs.source_hashes import SourceHashes
from edgefool.storage import parse_path


@pytest.fixture
def photo(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"cat")
    return parse_path(tmp_path / "cat.png")


def known_of(hashes):
    return SourceHashes({stamp.path: stamp for stamp in hashes.new})


def test_an_unchanged_file_is_not_read_again(photo, tmp_path):
    first = SourceHashes()
    assert first(photo) == sha256(b"cat")
    again = known_of(first)
    before = (tmp_path / "cat.png").stat()
    (tmp_path / "cat.png").write_bytes(b"dog")  # what shows that it is not read: as long, and with the same time
    os.utime(tmp_path / "cat.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert again(photo) == sha256(b"cat")
    assert again.new == []


@pytest.mark.parametrize("change", ["bytes", "time", "place"])
def test_a_changed_file_is_read_again(photo, tmp_path, change):
    first = SourceHashes()
    first(photo)
    path = tmp_path / "cat.png"
    if change == "bytes":
        path.write_bytes(b"a dog")
    elif change == "time":
        path.write_bytes(b"dog")
        os.utime(path, (1, 1))
    else:
        stat = path.stat()
        path = tmp_path / "other.png"
        path.write_bytes(b"dog")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = known_of(first)
    assert again(parse_path(path)) == sha256(path.read_bytes())
    assert len(again.new) == 1


def test_what_cannot_be_read_has_no_hash(tmp_path):
    hashes = SourceHashes()
    assert hashes(parse_path(tmp_path / "gone.png")) is None
    assert hashes(parse_path(tmp_path)) is None
    assert hashes.new == []


def test_stamps_do_not_show_where_a_photo_is(tmp_path):
    path = tmp_path / "bad\\name\n.png"
    path.write_bytes(b"cat")
    hashes = SourceHashes()
    hashes(parse_path(path))
    (stamp,) = hashes.new
    assert "name" not in stamp.model_dump_json()
