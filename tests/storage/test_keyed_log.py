"""Logs give back what was written; a line whose checksum holds is never altered or dropped, whoever wrote it."""

import errno
import json
import os
import zlib
from itertools import count

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict

from edgefool.errors import FormatError, RunError, UnreadableLineError
from edgefool.storage import append_log, parse_path
from edgefool.storage.append_log import AppendLog
from edgefool.storage.keyed_log import KeyedLog, Line


class Fact(Line):
    model_config = ConfigDict(extra="forbid")

    name: str
    value: float | None = None

    @property
    def key(self) -> str:
        return self.name


class Pair(Fact):
    @property
    def key(self) -> tuple[str, str | None]:
        return self.name, None if self.value is None else str(self.value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FACTS = st.builds(Fact, name=TEXT, value=st.none() | st.floats(allow_nan=False, allow_infinity=False))


@pytest.fixture
def log(disk):
    return KeyedLog(disk / "facts.jsonl", Fact)


@pytest.fixture
def damaged(disk):
    """Return the folder that damaged lines are copied into."""
    return disk / "damaged"


def sound(item):
    """Return a line with its checksum, as the format says and not as our code does it."""
    return with_checksum(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode())


def with_checksum(body):
    return body[:-1] + b',"check":"%08x"}' % zlib.crc32(body)


def is_sound(line):
    """Return whether the checksum of a line holds."""
    body, found, check = line.rpartition(b',"check":"')
    return bool(found) and check == b'%08x"}' % zlib.crc32(body + b"}")


def held(path):
    """Return all bytes of a log."""
    return b"".join(AppendLog(path).read())


# What is written comes back


@given(st.lists(FACTS))
def test_what_is_written_comes_back(tmp_path_factory, facts):
    folder = parse_path(tmp_path_factory.mktemp("log"))
    log = KeyedLog(folder / "facts.jsonl", Fact)
    for fact in facts:
        log.append([fact])
    log.append(facts)
    assert log.read() == list({fact.name: fact for fact in facts}.values())
    before = held(log.path)
    assert all(is_sound(line) for line in before.split(b"\n")[:-1])
    assert log.inspect().repair(folder / "damaged") == []
    assert held(log.path) == before


def test_no_file_holds_nothing(log, damaged):
    assert log.read() == log.inspect().items == []
    log.append([])
    log.invalidate({})
    assert log.inspect().repair(damaged) == []
    assert not log.path.exists()
    assert not damaged.exists()


def test_the_latest_counts_where_the_first_stood(log):
    log.append([Fact(name="a", value=1), Fact(name="b", value=2)])
    log.append([Fact(name="a", value=3)])
    assert log.read() == [Fact(name="a", value=3), Fact(name="b", value=2)]


def test_a_line_is_durable_where_asked(log, monkeypatch):
    synced, genuine = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), genuine(file)))
    for durable, expected in ((True, 2), (True, 3), (False, 3)):  # the first one with the folder, which has a new name
        log.append([Fact(name="a"), Fact(name="b")], durable=durable)
        assert len(synced) == expected
    log.invalidate({"a": "why"})
    assert len(synced) == 4
    assert log.read() == [Fact(name="b")]


# Invalidations


@pytest.mark.parametrize("model", [Fact, Pair])
def test_what_no_longer_holds_is_invalidated_by_a_line_behind_it(place, model):
    log = KeyedLog(place / "facts.jsonl", model)
    one, two, three = model(name="a"), model(name="invalidates", value=2), model(name="c", value=0.5)
    log.append([one, two, three])
    before = held(log.path)
    log.invalidate({one.key: "its image is missing", three.key: "τ\n"})
    log.invalidate({model(name="never").key: "nothing to invalidate"})
    assert log.read() == [two]
    assert held(log.path).startswith(before), "the earlier lines stay"
    reasons = [json.loads(line).get("reason") for line in held(log.path).splitlines()]
    assert reasons == [None] * 3 + ["its image is missing", "τ\n", "nothing to invalidate"]
    log.append([one])
    assert log.read() == [two, one]


# Damage


@pytest.mark.parametrize("cut", [1, 2, 10, 25])
def test_a_torn_last_line_is_no_damage(log, damaged, cut):
    log.append([Fact(name="a"), Fact(name="b")])
    whole = held(log.path)
    os.truncate(log.path.key, len(whole) - cut)
    torn = held(log.path).split(b"\n")[-1]
    items = [Fact(name="a"), Fact(name="b")][: 2 if cut == 1 else 1]  # a line lacks its newline only: it is sound
    assert log.read() == items
    reports = log.inspect().repair(damaged)
    if cut == 1:
        assert reports == []
        assert held(log.path) == whole
    else:
        copy = damaged / "facts.jsonl-1"
        assert reports == [f"line 2 of facts.jsonl is incomplete; its bytes are in {copy}"]
        assert copy.read() == torn + b"\n"
    log.append([Fact(name="c")])
    assert log.read() == [*items, Fact(name="c")]


def test_damaged_lines_are_reported_and_copied(log, damaged):
    log.append([Fact(name="a"), Fact(name="b"), Fact(name="c")])
    one, _, three = held(log.path).splitlines()
    log.path.write(b"\n".join([one, b'{"name":"b"}', b"\xff", three, b'{"na']))
    with pytest.raises(
        RunError, match=r"^line 2 of .*facts.jsonl is damaged; to repair it, repeat the command that made the run$"
    ):
        log.read()
    inspection = log.inspect()
    assert inspection.items == [Fact(name="a"), Fact(name="c")]
    assert [(line.number, line.data, line.is_torn) for line in inspection.damaged] == [
        (2, b'{"name":"b"}', False),
        (3, b"\xff", False),
        (5, b'{"na', True),
    ]
    copy = damaged / "facts.jsonl-1"
    assert inspection.repair(damaged) == [
        f"line 2 of facts.jsonl is damaged; its bytes are in {copy}",
        f"line 3 of facts.jsonl is damaged; its bytes are in {copy}",
        f"line 5 of facts.jsonl is incomplete; its bytes are in {copy}",
    ]
    assert copy.read() == b'{"name":"b"}\n\xff\n{"na\n'
    assert held(log.path) == one + b"\n" + three + b"\n"
    assert log.read() == inspection.items
    log.path.write(b"again\n" + held(log.path))
    log.inspect().repair(damaged)
    assert copy.read() == b'{"name":"b"}\n\xff\n{"na\n', "no copy takes the place of an earlier one"
    assert (damaged / "facts.jsonl-2").read() == b"again\n"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_altered_byte_goes_unnoticed(tmp_path_factory, at, change):
    folder = parse_path(tmp_path_factory.mktemp("log"))
    log = KeyedLog(folder / "facts.jsonl", Fact)
    facts = [Fact(name=name, value=value) for name, value in [("a", 1.5), ("b", 22.25), ("c", None)]]
    log.append(facts)
    before = held(log.path)
    data = bytearray(before)
    at %= len(data)
    data[at] ^= change
    log.path.write(bytes(data))
    if at == len(data) - 1:  # the last newline became a byte of an unfinished line
        assert log.read() == facts[:2]
    else:
        with pytest.raises(RunError, match="is damaged"):
            log.read()
    assert log.inspect().repair(folder / "damaged")
    left = log.read()
    assert [fact for fact in facts if fact in left] == left
    assert len(left) in (1, 2), "a newline that was altered joins two lines"


def test_a_repair_that_fails_can_be_repeated(log, damaged, monkeypatch):
    log.append([Fact(name="a"), Fact(name="b")])
    lines = held(log.path)
    log.path.write(b"damaged\n" + lines)
    genuine, left = os.replace, count()

    def fail(*names):
        if next(left) == 1:  # the copy is made, the log is not yet replaced
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        genuine(*names)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            log.inspect().repair(damaged)
    assert held(log.path) == b"damaged\n" + lines
    assert len(log.inspect().repair(damaged)) == 1
    assert held(log.path) == lines
    assert {(damaged / name).read() for name in damaged.find()} == {b"damaged\n"}


# Lines of other versions


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (sound({"name": "b", "value": 1, "unit": "m"}), "unit: Extra inputs are not permitted"),
        (sound({"name": "b", "value": "much"}), "value: Input should be a valid number"),
        (sound({"invalidates": "b", "reason": "new", "by": "me"}), "by: Extra inputs are not permitted"),
        (sound({"invalidates": "b"}), "reason: Field required"),
        (sound({"forgets": "everything"}), "name: Field required"),
        (with_checksum(b'{"name":}'), "Invalid JSON"),
    ],
)
def test_a_sound_line_that_is_not_known_stops_everything(log, damaged, line, reason):
    log.append([Fact(name="a")])
    log.path.write(held(log.path) + b"damaged\n" + line + b"\ntorn")
    before = held(log.path)
    for call in (log.read, log.inspect):
        with pytest.raises(
            UnreadableLineError, match=rf"^line 3 of .*facts.jsonl is intact, but .*\(.*({reason})"
        ) as c:
            call()
        assert isinstance(c.value, FormatError)
        assert "\n" not in str(c.value)
    assert held(log.path) == before
    assert not damaged.exists()


# All of it together

KEYS = st.sampled_from(["a", "b", "c"])
SOUND = st.one_of(
    st.builds(lambda name, value: {"name": name, "value": value}, KEYS | TEXT, st.none() | st.floats(-9, 9)),
    st.builds(lambda name: {"name": name}, KEYS),  # as a version wrote it that had no values
    st.builds(lambda name, reason: {"invalidates": name, "reason": reason}, KEYS, TEXT),
)
UNKNOWN = st.builds(lambda name, extra: {"name": name, "value": None, "extra": extra}, KEYS, TEXT)


@st.composite
def damaged_lines(draw):
    line = draw(
        st.binary(max_size=20).map(lambda data: data.replace(b"\n", b""))
        | st.builds(lambda item, at: sound(item)[:at], SOUND, st.integers(0, 60))
        | st.builds(lambda item: sound(item).replace(b":", b";", 1), SOUND)
    )
    return b"" if is_sound(line) else line


LINES = st.lists(SOUND.map(sound) | damaged_lines(), max_size=12)
ENDS = st.just(b"") | SOUND.map(sound) | damaged_lines()


def expected_items(lines):
    """Return what the sound lines say, by a plain reading of the format."""
    latest = {}
    for line in lines:
        item = json.loads(line)
        if "invalidates" in item:
            latest.pop(item["invalidates"], None)
        else:
            latest[item["name"]] = Fact(name=item["name"], value=item.get("value"))
    return list(latest.values())


@pytest.fixture(scope="module", params=["disk", "segments", "both"])
def write_pieces(request, tmp_path_factory):
    """Return what writes the pieces of a log: into a file, as segments, or both as a run copied from a store has it."""

    def write(pieces):
        if request.param == "segments":
            fsspec.filesystem("memory").store.clear()
            folder = parse_path("memory://store")
        else:
            folder = parse_path(tmp_path_factory.mktemp("log"))
        path = folder / "facts.jsonl"
        if request.param == "disk":
            path.write(b"".join(pieces))
            return path
        for number, piece in enumerate(pieces):
            name = (
                "facts.jsonl"
                if request.param == "both" and not number
                else f"facts.jsonl.d/{number:012}-{'0' * 16}.jsonl"
            )
            (folder / name).write(piece)
        return path

    return write


@given(st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=4), st.booleans())
def test_no_sound_line_is_altered_or_dropped(write_pieces, parts, merges):
    pieces = [b"".join(line + b"\n" for line in lines) + end for lines, end in parts]
    path = write_pieces(pieces)
    log = KeyedLog(path, Fact)
    lines = [line for piece in AppendLog(path).read() for line in piece.removesuffix(b"\n").split(b"\n") if piece]
    good, bad = [line for line in lines if is_sound(line)], [line for line in lines if not is_sound(line)]

    with pytest.MonkeyPatch.context() as patch:
        if merges:
            patch.setattr(append_log, "MAX_SEGMENTS", 0)
        inspection = log.inspect()
        reports = inspection.repair(path.parent / "damaged")

    assert inspection.items == expected_items(good)
    assert held(path) == b"".join(line + b"\n" for line in good)
    assert log.read() == expected_items(good)
    copies = (path.parent / "damaged").find()
    if bad:
        assert (path.parent / "damaged/facts.jsonl-1").read() == b"".join(line + b"\n" for line in bad)
    assert len(copies) == bool(bad)
    assert len(reports) == len(bad)
    if path.store.can_append or merges:
        assert path.with_name("facts.jsonl.d").find() == {}
    assert KeyedLog(path, Fact).inspect().repair(path.parent / "damaged") == [], "once is enough"


@settings(max_examples=30)
@given(LINES, UNKNOWN.map(sound), LINES, ENDS)
def test_one_unknown_line_and_nothing_changes(write_pieces, before, unknown, after, end):
    pieces = [b"".join(line + b"\n" for line in before), b"".join(line + b"\n" for line in [unknown, *after]) + end]
    path = write_pieces(pieces)
    with pytest.raises(UnreadableLineError):
        KeyedLog(path, Fact).inspect()
    assert held(path) == b"".join(pieces)
    assert (path.parent / "damaged").find() == {}
