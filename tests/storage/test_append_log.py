"""A file that grows reads the same on a disk and in a store, whatever happens while it is written."""

import pytest

from edgefool.storage import append_log as growing
from edgefool.storage.append_log import GrowingFile


@pytest.fixture
def file(memory):
    return GrowingFile(memory / "facts.jsonl")


def parts(file):
    return [path.name for path in (file.path.parent / "facts.jsonl.d").find()]


def content(file):
    """Return what another process reads."""
    return b"".join(GrowingFile(file.path).read())


def test_appended_parts_follow_each_other_whoever_wrote_them(store):
    path = store / "facts.jsonl"
    assert GrowingFile(path).read() == []
    first = GrowingFile(path)
    for k in range(12):
        first.append(b"%d\n" % k)
    GrowingFile(path).append(b"12\n")
    assert content(first) == b"".join(b"%d\n" % k for k in range(13))
    assert not path.exists()


def test_parts_of_two_writers_never_have_one_name(file):
    other = GrowingFile(file.path)
    file.append(b"a\n")
    file.append(b"b\n")
    other._last = 0  # as if it had listed them before
    other.append(b"c\n")
    assert len(parts(file)) == 3
    assert sorted(content(file).split()) == [b"a", b"b", b"c"]


def test_written_anew_is_one_file(store):
    file = GrowingFile(store / "facts.jsonl")
    for data in (b"a\n", b"b\n"):
        file.append(data)
    file.replace(b"ab\n")
    assert (store / "facts.jsonl").read_bytes() == content(file) == b"ab\n"
    assert parts(file) == []
    file.append(b"c\n")
    assert content(file) == b"ab\nc\n"
    file.replace(b"")
    assert content(file) == b""


@pytest.mark.parametrize("before", [0, 1, 3])
def test_killed_at_any_moment_it_reads_as_before_or_as_asked(file, monkeypatch, before):
    """Each request to the store is the last one in turn."""
    file.path.write_bytes(b"base\n")
    for k in range(before):
        file.append(b"%d\n" % k)
    was, kind = content(file), type(file.path)
    asked = b"asked\n"
    for moment in range(100):
        saved = {path: path.read_bytes() for path in file.path.parent.find()}
        left = [moment]

        def dying(genuine, left=left):
            def call(*arguments, **keywords):
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return genuine(*arguments, **keywords)

            return call

        with monkeypatch.context() as patch:
            for name in ("write_bytes", "unlink"):
                patch.setattr(kind, name, dying(getattr(kind, name)))
            try:
                GrowingFile(file.path).replace(asked)
                killed = False
            except KeyboardInterrupt:
                killed = True
        assert content(file) in ((was, asked) if killed else (asked,))
        if content(file) == asked:  # and whoever goes on, goes on from there
            GrowingFile(file.path).append(b"more\n")
            assert content(file) == asked + b"more\n"
            GrowingFile(file.path).replace(asked)
            assert content(file) == asked
            assert parts(file) == []
        if not killed:
            break
        for path in file.path.parent.find():
            path.unlink()
        for path, data in saved.items():
            path.write_bytes(data)
    assert moment == (before + 3 if before else 1)


def test_many_parts_are_due_to_become_one(file, monkeypatch):
    monkeypatch.setattr(growing, "MOST_PARTS", 3)
    for _ in range(3):
        file.append(b"a\n")
    assert not file.is_due
    file.append(b"a\n")
    assert file.is_due


def test_read_while_it_is_written_anew(file, monkeypatch):
    file.append(b"a\n")
    file.append(b"b\n")
    genuine = GrowingFile._list
    late = [True]

    def list_late(self):
        found = genuine(self)
        if late.pop() if late else False:
            GrowingFile(file.path).replace(b"ab\n")
        return found

    reader = GrowingFile(file.path)
    monkeypatch.setattr(GrowingFile, "_list", lambda self: list_late(self) if self is reader else genuine(self))
    assert b"".join(reader.read()) == b"ab\n"


def test_a_copy_on_a_disk_reads_the_same_and_goes_on(file, tmp_path):
    file.path.write_bytes(b"base\n")
    file.append(b"a\n")
    for path in file.path.parent.find():
        target = tmp_path / path.relative_to(file.path.parent)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "facts.jsonl.d" / ".DS_Store").write_bytes(b"?")
    copy = GrowingFile(tmp_path / "facts.jsonl")
    assert b"".join(copy.read()) == b"base\na\n"
    assert copy.is_due
    copy.replace(b"base\na\n")
    assert not copy.is_due
    copy.append(b"b\n")
    assert copy.read() == [b"base\na\nb\n"]
    assert [path.name for path in (tmp_path / "facts.jsonl.d").iterdir()] == [".DS_Store"]
