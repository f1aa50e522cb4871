"""Files of lines give back what was written, and own up to what was done to them."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.errors import RunError
from edgefool.storage.keyed_log import Line, Lines


class Fact(Line):
    name: str
    value: float | None = None

    @property
    def key(self) -> str:
        return self.name


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def lines(tmp_path):
    return Lines(tmp_path / "facts.jsonl", Fact)


@given(st.lists(st.builds(Fact, name=TEXT, value=st.none() | st.floats(allow_nan=False, allow_infinity=False))))
def test_what_is_written_comes_back(tmp_path_factory, facts):
    lines = Lines(tmp_path_factory.mktemp("lines") / "facts.jsonl", Fact)
    for fact in facts:
        lines.append([fact])
    assert lines.read() == list({fact.name: fact for fact in facts}.values())
    lines.replace(facts)
    assert lines.read() == list({fact.name: fact for fact in facts}.values())
    assert lines.mend() == []


def test_no_file_holds_nothing(lines):
    assert lines.read() == []
    assert lines.mend() == []
    lines.append([])
    assert not lines.path.exists()


def test_the_latest_counts_where_the_first_stood(lines):
    lines.append([Fact(name="a", value=1), Fact(name="b", value=2)])
    lines.append([Fact(name="a", value=3)])
    assert lines.read() == [Fact(name="a", value=3), Fact(name="b", value=2)]


@pytest.mark.parametrize("cut", [1, 2, 10, 25])
def test_half_a_last_line_is_no_damage(lines, cut):
    lines.append([Fact(name="a"), Fact(name="b")])
    os.truncate(lines.path, lines.path.stat().st_size - cut)
    assert lines.read() == [Fact(name="a")]
    assert lines.mend() == []
    lines.append([Fact(name="c")])
    assert lines.read() == [Fact(name="a"), Fact(name="c")]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_altered_byte_goes_unnoticed(tmp_path_factory, at, change):
    lines = Lines(tmp_path_factory.mktemp("lines") / "facts.jsonl", Fact)
    facts = [Fact(name=name, value=value) for name, value in [("a", 1.5), ("b", 22.25), ("c", None)]]
    lines.append(facts)
    data = bytearray(lines.path.read_bytes())
    at %= len(data)
    data[at] ^= change
    lines.path.write_bytes(data)
    damaged = lines.mend()
    left = lines.read()
    assert [fact for fact in facts if fact in left] == left
    assert len(left) < 3
    assert damaged or at == len(data) - 1, "a last line without its newline counts as unfinished"


def test_damage_is_told_by_line_and_taken_out(lines):
    lines.append([Fact(name="a"), Fact(name="b"), Fact(name="c")])
    one, _, three = lines.path.read_bytes().splitlines()
    lines.path.write_bytes(b"\n".join([one, b'{"name":"b"}', b"\xff", three, b'{"na']))
    with pytest.raises(RunError, match=r"line 2 of .*facts.jsonl is damaged; the command that made the run mends it"):
        lines.read()
    assert lines.mend() == [2, 3]
    assert lines.read() == [Fact(name="a"), Fact(name="c")]
    assert lines.path.read_bytes() == one + b"\n" + three + b"\n"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_file_written_anew_is_as_before_or_as_asked(lines, monkeypatch, function):
    lines.append([Fact(name="a"), Fact(name="b")])
    before = lines.path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space left"):
            lines.replace([Fact(name="c")])
    assert [path.name for path in lines.path.parent.iterdir()] == [lines.path.name]
    assert lines.path.read_bytes() == before
    lines.replace([Fact(name="c")])
    assert lines.read() == [Fact(name="c")]


def test_mending_that_fails_can_be_repeated(lines, monkeypatch):
    lines.append([Fact(name="a"), Fact(name="b")])
    lines.path.write_bytes(b"damaged\n" + lines.path.read_bytes())

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            lines.mend()
    assert lines.mend() == [1]
    assert lines.read() == [Fact(name="a"), Fact(name="b")]


def test_a_line_on_the_disk_is_waited_for(lines, monkeypatch):
    synced = []
    genuine = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), genuine(file)))
    lines.append([Fact(name="a"), Fact(name="b")])
    assert len(synced) == 2, "the file, and the folder that has its name from now on"
    lines.append([Fact(name="c")])
    assert len(synced) == 3
    lines.append([Fact(name="d")], durable=False)
    assert len(synced) == 3
    assert len(lines.read()) == 4


def test_a_disk_that_was_full_leaves_no_half_a_line(lines, monkeypatch):
    """What is appended once there is room again would join it, and be lost with it."""
    lines.append([Fact(name="a")])

    def fail(file):
        os.truncate(lines.path, lines.path.stat().st_size - 5)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            lines.append([Fact(name="b")])
    lines.append([Fact(name="c")])
    assert lines.read() == [Fact(name="a"), Fact(name="c")]
