"""A file that grows reads the same on a disk and in an object store, whatever happens while it is written."""

import pytest

from edgefool.storage import append_log
from edgefool.storage.append_log import AppendLog
from edgefool.storage.store import StorePath


@pytest.fixture
def log(memory):
    return AppendLog(memory / "facts.jsonl")


def segments(log):
    return sorted(log.path.with_name("facts.jsonl.d").find())


def content(log):
    """Return what another process reads."""
    return b"".join(AppendLog(log.path).read())


def test_what_is_appended_is_in_order_whoever_wrote_it(place):
    path = place / "facts.jsonl"
    assert AppendLog(path).read() == []
    first = AppendLog(path)
    for k in range(12):
        first.append(b"%d\n" % k, durable=k % 2 == 0)
    AppendLog(path).append(b"12\n")
    assert content(first) == b"".join(b"%d\n" % k for k in range(13))
    assert path.exists() == path.store.can_append


def test_each_addition_to_an_object_store_is_a_piece(store, disk):
    """So that a torn end is known as one, whatever was appended since."""
    for path, pieces in ((store / "facts.jsonl", [b"a\nto", b"b\n"]), (disk / "facts.jsonl", [b"a\ntob\n"])):
        log = AppendLog(path)
        log.append(b"a\nto")
        log.append(b"b\n")
        assert AppendLog(path).read() == pieces


def test_segments_of_two_writers_never_have_one_name(log):
    other = AppendLog(log.path)
    other._next_segment(".jsonl")  # it has listed them before
    log.append(b"a\n")
    log.append(b"b\n")
    other.append(b"c\n")
    assert len(segments(log)) == 3
    assert sorted(content(log).split()) == [b"a", b"b", b"c"]


def test_what_replaces_it_is_one_file(place):
    log = AppendLog(place / "facts.jsonl")
    for data in (b"a\n", b"b\n"):
        log.append(data)
    log.replace(b"ab\n")
    assert (place / "facts.jsonl").read() == content(log) == b"ab\n"
    assert segments(log) == []
    log.append(b"c\n")
    assert content(log) == b"ab\nc\n"
    log.replace(b"")
    assert content(log) == b""


def test_bytes_are_kept_as_they_are(place):
    log, data = AppendLog(place / "facts.jsonl"), bytes(range(256)) * 3 + b"\r\n\0"
    log.append(data)
    assert content(log) == data
    log.replace(data * 2)
    log.append(data)
    assert content(log) == data * 3


@pytest.mark.parametrize("before", [0, 1, 3])
def test_killed_at_any_moment_it_reads_as_before_or_as_asked(log, monkeypatch, before):
    """Each request to the store is the last one in turn."""
    log.path.write(b"base\n")
    for k in range(before):
        log.append(b"%d\n" % k)
    was, asked, folder = content(log), b"asked\n", log.path.parent
    for moment in range(100):
        saved = {name: (folder / name).read() for name in folder.find()}
        left = [moment]

        def dying(genuine, left=left):
            def call(*arguments):
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return genuine(*arguments)

            return call

        with monkeypatch.context() as patch:
            for name in ("write", "delete"):
                patch.setattr(StorePath, name, dying(getattr(StorePath, name)))
            try:
                AppendLog(log.path).replace(asked)
                killed = False
            except KeyboardInterrupt:
                killed = True
        assert content(log) in ((was, asked) if killed else (asked,))
        if content(log) == asked:  # and whoever goes on, goes on from there
            AppendLog(log.path).append(b"more\n")
            assert content(log) == asked + b"more\n"
            AppendLog(log.path).replace(asked)
            assert content(log) == asked
            assert segments(log) == []
        if not killed:
            break
        for name in folder.find():
            (folder / name).delete()
        for name, data in saved.items():
            (folder / name).write(data)
    assert moment == (before + 3 if before else 1)


def test_many_segments_are_due_to_be_merged(log, monkeypatch):
    monkeypatch.setattr(append_log, "MAX_SEGMENTS", 3)
    for _ in range(3):
        log.append(b"a\n")
    assert not log.needs_merge
    log.append(b"a\n")
    assert log.needs_merge


def test_a_log_that_is_replaced_while_it_is_read(log, monkeypatch):
    log.append(b"a\n")
    log.append(b"b\n")
    genuine, replaced = StorePath.list_folder, []

    def list_and_replace(path):
        found = genuine(path)
        if not replaced:
            replaced.append(True)
            AppendLog(log.path).replace(b"ab\n")
        return found

    monkeypatch.setattr(StorePath, "list_folder", list_and_replace)
    assert b"".join(log.read()) == b"ab\n"


def test_a_copy_on_a_disk_reads_the_same_and_goes_on(log, disk):
    log.path.write(b"base\n")
    log.append(b"a\n")
    for name in log.path.parent.find():
        (disk / name).write((log.path.parent / name).read())
    (disk / "facts.jsonl.d" / ".DS_Store").write(b"?")
    copy = AppendLog(disk / "facts.jsonl")
    assert b"".join(copy.read()) == b"base\na\n"
    assert copy.needs_merge
    copy.replace(b"base\na\n")
    assert not copy.needs_merge
    copy.append(b"b\n")
    assert copy.read() == [b"base\na\nb\n"]
    assert segments(copy) == [".DS_Store"]
