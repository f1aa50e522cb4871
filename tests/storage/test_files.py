"""A file is whole or as before, and durable, wherever it is; an address is no path on the disk."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from edgefool.errors import UsageError
from edgefool.storage import files as files_module
from edgefool.storage.files import (
    PARTIAL_SUFFIX,
    is_inside,
    is_remote,
    list_folder,
    local_path,
    parse_path,
    real_path,
    upload_folder,
    write_atomically,
)

# Writing


def test_write_makes_and_replaces(tmp_path):
    path = tmp_path / "image.png"
    for data in (b"first", b"second", b""):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["image.png"]


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt("Ctrl-C")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("interruption", [no_space, interrupt])
def test_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing, interruption):
    path = tmp_path / "image.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(files_module.os, failing, interruption)
    with pytest.raises((OSError, KeyboardInterrupt), match=r"No space left|Ctrl-C"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.png"]


def test_unfinished_files_are_known_by_their_names_and_no_two_alike(tmp_path, monkeypatch):
    unfinished = []
    monkeypatch.setattr(files_module.os, "replace", lambda *_: unfinished.extend(os.listdir(tmp_path)))
    for _ in range(2):
        write_atomically(tmp_path / "image.png", b"new")
    assert all(name.endswith(PARTIAL_SUFFIX) and len(name) < 143 for name in unfinished)
    assert len(set(unfinished)) == 2


def test_file_is_durable_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files_module.os, "fsync", lambda fd: (events.append("fsync"), fsync(fd)))
    monkeypatch.setattr(files_module.os, "replace", lambda *names: (events.append("replace"), replace(*names)))
    write_atomically(tmp_path / "image.png", b"new")
    assert events == ["fsync", "replace", "fsync"]


def test_write_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "image.png", b"new")


def test_writers_of_one_file_never_mix_bytes(tmp_path):
    path = tmp_path / "image.png"
    contents = [bytes([k]) * 200_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomically(path, data), contents * 4))
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["image.png"]


# Paths and addresses


@pytest.mark.parametrize("text", ["photos", "/a/b.png", "s3:/a", "C:/x", "a b://c", "://x", ""])
def test_what_is_no_address_is_a_path(text):
    assert parse_path(text) == Path(text)
    assert parse_path(Path(text)) == Path(text)


def test_an_address_stays_as_it_is():
    address = parse_path("memory://a/b.png")
    assert is_remote(address)
    assert str(address) == "memory://a/b.png"
    assert parse_path(address) == real_path(address) == address


def test_a_file_address_is_a_path():
    assert parse_path("file:///a/b") == Path("/a/b")


def test_unknown_kinds_of_addresses_are_told():
    with pytest.raises(UsageError, match=r"^nix://\.\.\. is of an unknown kind$"):
        parse_path("nix://a/b")


@pytest.mark.parametrize("path", ["s3://bucket/net.pth", parse_path("memory://net.pth")])
def test_what_must_be_local_is(path):
    with pytest.raises(UsageError, match="must be a file on the disk of each machine that uses it, not an address"):
        local_path(path)
    assert local_path("net.pth") == Path("net.pth")


def test_inside():
    assert is_inside(Path("/a/b"), Path("/a"))
    assert not is_inside(Path("/a"), Path("/a/b"))
    assert is_inside(parse_path("memory://a/b"), parse_path("memory://a"))
    assert not is_inside(parse_path("memory://ab"), parse_path("memory://a"))
    assert not is_inside(parse_path("memory://a/b"), Path("/a"))
    assert not is_inside(Path("/a/b"), parse_path("memory://a"))


def test_folders_are_listed(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").touch()
    assert list_folder(tmp_path) == ([tmp_path / "file"], [tmp_path / "inner"])
    with pytest.raises(FileNotFoundError):
        list_folder(tmp_path / "none")


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_folders_that_cannot_be_synced(tmp_path, monkeypatch, number, fails):
    fsync = os.fsync

    def sync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(files_module.os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error") if fails else nullcontext():
        write_atomically(tmp_path / "image.png", b"new")
    assert (tmp_path / "image.png").read_bytes() == b"new"


def test_a_folder_takes_the_place_of_another_in_a_store(memory, tmp_path):
    for name, data in {"index.html": b"page", "images/a.png": b"a"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for name in ("report/index.html", "report/images/b.png", "beside"):
        (memory / name).write_bytes(b"old")
    upload_folder(tmp_path, memory / "report", last="index.html")
    assert {str(p.relative_to(memory)): p.read_bytes() for p in memory.find()} == {
        "report/index.html": b"page",
        "report/images/a.png": b"a",
        "beside": b"old",
    }
