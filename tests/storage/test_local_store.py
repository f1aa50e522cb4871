"""On a disk a file is whole or as before, durable on return, and whatever fails names the file."""

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from edgefool.storage import parse_path
from edgefool.storage.partial_names import is_partial, partial_name


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # fsync and write know no name


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt("Ctrl-C")


@pytest.fixture
def events(monkeypatch):
    """Return the list of what is asked of the disk from now on: what is synced, and what gets which name."""
    asked, genuine = [], {name: getattr(os, name) for name in ("fsync", "replace", "mkdir")}

    def sync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        asked.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}") if is_folder else "file"))
        genuine["fsync"](descriptor)

    def replace(source, target):
        asked.append(("replace", str(target)))
        genuine["replace"](source, target)

    def mkdir(path, *rest):
        genuine["mkdir"](path, *rest)
        asked.append(("mkdir", str(path)))

    for name, function in {"fsync": sync, "replace": replace, "mkdir": mkdir}.items():
        monkeypatch.setattr(os, name, function)
    return asked


# Whole files


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("interruption", [no_space, interrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(disk, monkeypatch, failing, interruption):
    path = disk / "image.png"
    path.write(b"old")
    monkeypatch.setattr(os, failing, interruption)
    with pytest.raises((OSError, KeyboardInterrupt), match=r"No space left|Ctrl-C"):
        path.write(b"new")
    assert path.read() == b"old"
    assert os.listdir(disk.key) == ["image.png"]


def test_no_reader_sees_an_unfinished_file(disk, monkeypatch):
    path, seen, genuine = disk / "image.png", [], os.replace
    path.write(b"old")

    def replace(source, target):
        seen.append((path.read(), Path(source).read_bytes(), Path(source).name))
        genuine(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for _ in range(2):
        path.write(b"new")
    assert [contents for *contents, _ in seen] == [[b"old", b"new"], [b"new", b"new"]]
    names = {name for *_, name in seen}
    assert len(names) == 2, "two writers may not write the same unfinished file"
    assert all(map(is_partial, names))


def test_a_file_is_durable_before_it_gets_its_name_and_so_is_the_name(disk, events):
    (disk / "image.png").write(b"new")
    assert events == [("fsync", "file"), ("replace", str(disk / "image.png")), ("fsync", str(disk))]


def test_the_names_of_new_folders_are_durable(disk, events):
    (disk / "a/b/c.png").write(b"new")
    a, b = str(disk / "a"), str(disk / "a/b")
    made = [event for event in events if event[0] == "mkdir"]
    assert made == [("mkdir", a), ("mkdir", b)]
    for folder in (str(disk), a, b):
        assert ("fsync", folder) in events[events.index(("mkdir", b)) :]


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_folders_that_cannot_be_synced(disk, monkeypatch, number, fails):
    genuine = os.fsync

    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        genuine(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error") if fails else nullcontext():
        (disk / "image.png").write(b"new")
    assert (disk / "image.png").read() == b"new"


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(disk):
    kept = ["0123456789ABCDEF.partial", "a/0123.partial", "a/film.mkv.partial", "a/partial", f"{partial_name()}/c.png"]
    for name in (f"a/{partial_name()}", f".hidden/{partial_name()}", *kept):
        (disk / name).write(b"half")
    disk.store.remove_leftovers(disk.key)
    assert sorted(disk.find()) == sorted(kept)


# Files that grow


def append(path, data, durable=True):
    path.store.append(path.key, data, durable=durable)


def test_appended_bytes_are_durable_where_asked(disk, events):
    append(disk / "log", b"a\n")
    assert events == [("fsync", "file"), ("fsync", str(disk))], "the folder has a new name"
    append(disk / "log", b"b\n")
    assert events[2:] == [("fsync", "file")]
    append(disk / "log", b"c\n", durable=False)
    assert len(events) == 3
    assert (disk / "log").read() == b"a\nb\nc\n"


@pytest.mark.parametrize("before", [None, b"a\n"])
def test_a_full_disk_leaves_no_half_line(disk, monkeypatch, before):
    """What is appended once there is room again would continue it, and be lost with it."""
    path = disk / "log"
    if before:
        append(path, before)

    def fail(descriptor):
        os.truncate(path.key, os.stat(path.key).st_size - 3)
        no_space()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            append(path, b"half a line\n")
    append(path, b"b\n")
    assert path.read() == (before or b"") + b"b\n"


# Failures


@pytest.mark.parametrize("call", ["write", "append"])
def test_failures_name_the_file(disk, monkeypatch, call):
    """Those of the disk itself come without a name."""
    path = disk / "image.png"
    path.write(b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left") as caught:
        path.write(b"new") if call == "write" else append(path, b"new")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: {str(path)!r}"


def test_a_disk_that_cannot_be_read_names_the_file(disk, monkeypatch):
    """As a bad sector does: the file opens and reading it fails."""
    (disk / "image.png").write(b"old")

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*image.png'$"):
        (disk / "image.png").read()


def test_a_file_where_a_folder_should_be(disk):
    (disk / "a").write(b"file")
    with pytest.raises(OSError, match=r"/a") as caught:
        (disk / "a" / "b.png").write(b"new")
    assert caught.value.errno in (errno.EEXIST, errno.ENOTDIR)


@pytest.mark.parametrize("call", [lambda path: path.list_folder(), lambda path: path.walk()])
def test_a_folder_that_is_not_there_is_not_empty(disk, call):
    with pytest.raises(FileNotFoundError) as caught:
        call(disk / "none")
    assert caught.value.filename == str(disk / "none")


def test_a_pipe_is_not_waited_for(disk):
    os.mkfifo((disk / "pipe").key)
    with pytest.raises(OSError, match=r"not a regular file: '.*/pipe'"):
        (disk / "pipe").read()
    assert (disk / "pipe").kind() == "file"
    assert (disk / "pipe").stat() is None
    assert disk.find() == {}


# Links, copies, versions


@pytest.fixture
def links(disk):
    """Return a folder with links: to a file, to a folder, to nothing and in a circle."""
    (disk / "real/a.png").write(b"a")
    for name, target in {"file": "real/a.png", "folder": "real", "gone": "nowhere", "circle": "circle"}.items():
        os.symlink(target, (disk / name).key)
    return disk


def test_links_lead_to_what_they_lead_to(links):
    kinds = {"file": "file", "folder": "folder", "gone": "file", "circle": "file", "folder/a.png": "file"}
    assert {name: (links / name).kind() for name in kinds} == kinds
    assert (links / "file").read() == (links / "folder/a.png").read() == b"a"
    assert (links / "file").resolve() == (links / "folder/a.png").resolve() == links.resolve() / "real/a.png"
    assert (links / "circle").resolve() == links.resolve() / "circle"
    assert (links / "gone").stat() is None
    assert sorted(path.name for path in links.list_folder()[1]) == ["folder", "real"]


def test_links_to_folders_are_not_followed_by_those_that_look_everywhere(links):
    assert sorted(path.relative_to(links) for path in links.walk()) == ["circle", "file", "gone", "real/a.png"]
    assert sorted(links.find()) == ["file", "real/a.png"]


def test_a_copy_costs_no_space_where_links_are_possible(disk, tmp_path, monkeypatch):
    (disk / "a.png").write(b"a")
    (disk / "a.png").copy_to(tmp_path / "link")
    assert os.path.samefile((disk / "a.png").key, tmp_path / "link")
    monkeypatch.setattr(os, "link", no_links)
    (disk / "a.png").copy_to(tmp_path / "copy")
    assert not os.path.samefile((disk / "a.png").key, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a"


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_replaced_file_has_another_version(disk):
    path = disk / "a.png"
    path.write(b"old")
    before = path.stat()
    assert path.stat() == before
    path.write(b"new")
    os.utime(path.key, ns=(0, int(before.version) + 1))  # the clock of the disk is coarse
    assert path.stat().version != before.version


# Folders that are replaced


def test_a_folder_takes_the_place_of_another_at_one_moment(disk, monkeypatch):
    (disk / "report/old").write(b"old")
    genuine, seen = Path.rename, []

    def rename(self, target):
        seen.append(sorted(disk.find()))
        return genuine(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    (disk / "report").replace_folder(lambda new: (new / "new").write_bytes(b"new"), "new")
    assert seen == [[".report/new", "report/old"], [".report-old/old", ".report/new"]]
    assert sorted(disk.find()) == ["report/new"]


def test_a_process_killed_between_two_names_loses_no_folder(disk):
    """It had put the old folder aside; the next one cannot build its own."""
    (disk / ".report-old/index.html").write(b"old")
    (disk / ".report/half").write(b"half")
    with pytest.raises(OSError, match="No space left"):
        (disk / "report").replace_folder(no_space, "index.html")
    assert sorted(disk.find()) == ["report/index.html"]
    (disk / "report").replace_folder(lambda new: (new / "new").touch(), "new")
    assert sorted(disk.find()) == ["report/new"]


def test_two_stores_on_disks_are_one():
    assert parse_path("/a").store == parse_path("/b").store
