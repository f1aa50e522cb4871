"""A store that makes its objects: they can be read, and nothing can be written."""

import errno

import pytest

from edgefool.storage import StorePath
from edgefool.storage.read_only_store import ReadOnlyStore


class Echo(ReadOnlyStore):
    """Objects that hold their keys."""

    def url(self, key):
        return f"echo:{key}"

    def read(self, key):
        return key.encode()


PATH = StorePath(Echo(), "a/b.txt")


def test_reading(tmp_path):
    assert (PATH.read(), PATH.kind(), PATH.stat().size, str(PATH)) == (b"a/b.txt", "file", 7, "echo:a/b.txt")
    PATH.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a/b.txt"
    assert PATH.resolve() == PATH
    assert not PATH.is_inside(StorePath(Echo(), "a"))  # of another store


def test_nothing_is_listed():
    assert PATH.parent.list_folder() == ([], [])
    assert PATH.parent.walk() == []
    assert PATH.parent.find() == {}
    assert PATH.store.glob("*") == []


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write(b""),
        lambda path: path.store.append(path.key, b"", durable=True),
        lambda path: path.delete(),
        lambda path: path.store.make_folder(path.key),
        lambda path: path.replace_folder(lambda folder: None, "last"),
        lambda path: path.store.remove_leftovers(path.key),
        lambda path: path.lock(),
    ],
)
def test_every_change_is_refused(write):
    with pytest.raises(OSError, match=r"echo:a/b\.txt") as caught:
        write(PATH)
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(PATH))
