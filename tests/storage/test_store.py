"""What every store does alike: one menu of tests for a disk, for a store in memory and for S3."""

import errno
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgefool.storage import Stat, parse_path

NAMES = ["a/x y[1].png", "a/deep/τ.txt", "b", ".hidden", ".cache/thumb.png", "a/.thumb.png"]
VISIBLE = ["a/x y[1].png", "a/deep/τ.txt", "b"]


@pytest.fixture
def folder(place):
    """Return a folder with some files; another one, whose name begins alike, lies beside it."""
    for name in NAMES:
        (place / "run" / name).write(name.encode())
    (place / "run2" / "beside.png").write(b"beside")
    return place / "run"


def inside(folder, paths):
    return sorted(path.relative_to(folder) for path in paths)


def contents(folder):
    return {name: (folder / name).read() for name in folder.find()}


# Reading and writing


@pytest.mark.parametrize("data", [b"first", b"", bytes(range(256)) * 1000])
def test_what_is_written_is_read(place, data):
    path = place / "new" / "folders" / "x.bin"
    path.write(b"what was there before")
    path.write(data)
    assert path.read() == data
    assert path.stat().size == len(data)
    assert contents(place) == {"new/folders/x.bin": data}


def test_a_missing_object(place):
    path = place / "none.png"
    assert (path.kind(), path.exists(), path.stat()) == (None, False, None)
    path.delete()
    for read in (path.read, lambda: path.copy_to(Path("unused"))):
        with pytest.raises(FileNotFoundError) as caught:
            read()
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))
        assert caught.value.strerror.isprintable()


def test_a_folder_is_no_object(folder):
    with pytest.raises(OSError, match=r"run/a'$") as caught:
        (folder / "a").read()
    assert caught.value.errno in (errno.EISDIR, errno.ENOENT)
    assert (folder / "a").stat() is None
    assert (folder / "b" / "c").kind() is None, "nothing is in a file"
    assert (folder / "b" / "c").stat() is None


def test_kinds(folder):
    kinds = {"": "folder", "a": "folder", "a/deep": "folder", "b": "file", "a/x y[1].png": "file", "a/x": None}
    assert {name: (folder / name).kind() for name in kinds} == kinds
    assert [name for name in kinds if (folder / name).exists()] == [name for name, kind in kinds.items() if kind]


def test_deleted_objects_are_gone(folder):
    (folder / "b").delete()
    assert not (folder / "b").exists()
    (folder / "b").delete()
    assert sorted(folder.find()) == sorted(set(NAMES) - {"b"})


def test_writers_of_one_object_never_mix_bytes(place):
    path, values = place / "image.png", [bytes([k]) * 200_000 for k in range(8)]
    path.write(values[0])
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(path.read) for _ in range(16)]
        list(pool.map(path.write, values * 4))
        reads += [pool.submit(path.read) for _ in range(16)]
    assert {read.result() for read in reads} | {path.read()} <= set(values)
    assert list(place.find()) == ["image.png"]


# Folders


def test_a_folder_is_listed(folder):
    files, folders = folder.list_folder()
    assert (inside(folder, files), inside(folder, folders)) == ([".hidden", "b"], [".cache", "a"])
    assert all(path.store == folder.store for path in files + folders)


def test_walk_finds_what_is_visible(folder):
    assert inside(folder, folder.walk()) == sorted(VISIBLE)


def test_find_finds_everything_with_its_stat(folder):
    found = folder.find()
    assert sorted(found) == sorted(NAMES)
    assert found == {name: (folder / name).stat() for name in NAMES}, "runs compare one with the other"
    assert found["b"].size == 1
    assert (folder / "none").find() == {}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["b"]),
        ("*/*.png", ["a/x y[1].png"]),
        ("a/x y[[]1].png", ["a/x y[1].png"]),
        ("a/x ?[[]*", ["a/x y[1].png"]),
        ("**/*", VISIBLE),
        ("[ab]", ["b"]),
        (".h*", [".hidden"]),
        ("*.gif", []),
        ("none/*", []),
    ],
)
def test_glob(folder, pattern, expected):
    found = [type(folder)(folder.store, key) for key in folder.store.glob((folder / pattern).key)]
    assert inside(folder, found) == sorted(expected)


def test_missing(folder):
    names = ["b", "none", "a/x y[1].png", "a", "a/deep/none", "b/c", "a/deep/τ.txt"]
    keys = {(folder / name).key: name for name in names}
    assert [keys[key] for key in folder.store.missing(keys)] == ["none", "a", "a/deep/none", "b/c"]
    assert folder.store.missing([(folder / "b").key]) == []
    assert folder.store.missing([]) == []


def test_a_copy_on_this_machine(folder, tmp_path):
    (folder / "b").copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"b"
    (folder / "b").write(b"another")
    assert (tmp_path / "copy").read_bytes() == b"b"
    (folder / "b").copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"another", "a copy that is there is replaced"


def build(files):
    def write(folder):
        assert list(folder.iterdir()) == []
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    return write


PAGE = {"index.html": b"page", "images/a.png": b"a"}


@pytest.mark.parametrize("before", [{}, {"index.html": b"old", "images/b.png": b"old"}])
def test_a_folder_is_replaced(place, before):
    for name, data in before.items():
        (place / "report" / name).write(data)
    (place / "beside").write(b"beside")
    (place / "report").replace_folder(build(PAGE), "index.html")
    assert contents(place / "report") == PAGE
    assert sorted(place.find()) == ["beside", "report/images/a.png", "report/index.html"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_built_stays(folder, error):
    before = contents(folder)

    def fail(folder):
        (folder / "half").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        folder.replace_folder(fail, "half")
    assert contents(folder) == before
    assert sorted(folder.parent.find()) == sorted([*(f"run/{name}" for name in NAMES), "run2/beside.png"])


def test_make_folder_and_leftovers_harm_nothing(folder):
    before = contents(folder)
    folder.store.make_folder(folder.key)
    folder.store.make_folder((folder / "a" / "new").key)
    folder.store.remove_leftovers(folder.key)
    assert contents(folder) == before


def test_a_place_where_all_can_be_found_again(folder):
    """What people read on the screen leads back to the object."""
    path = folder / "a" / "x y[1].png"
    assert parse_path(str(path)) == path == path.resolve()
    assert path.read() == parse_path(str(path)).read()


# Paths


@pytest.mark.parametrize("root", ["/disk", "memory://bucket", "s3://bucket"])
def test_names(root):
    path = parse_path(f"{root}/a/cat.tar.gz")
    assert (path.name, path.stem, path.suffix) == ("cat.tar.gz", "cat.tar", ".gz")
    assert str(path) == f"{root}/a/cat.tar.gz"
    assert str(path.parent / "b" / "c.png") == str(path.parent / "b/c.png") == f"{root}/a/b/c.png"
    assert str(path.with_name("x")) == f"{root}/a/x"
    assert path.relative_to(path.parent.parent) == "a/cat.tar.gz"
    assert parse_path(f"{root}/a/") == parse_path(f"{root}/a") == path.parent
    assert sorted([path, path.parent]) == [path.parent, path]


def test_inside():
    for root in ("", "memory:/"):
        folder = parse_path(f"{root}/a")
        assert folder.is_inside(folder)
        assert (folder / "b/c").is_inside(folder)
        assert not folder.is_inside(folder / "b")
        assert not parse_path(f"{root}/ab").is_inside(folder)
        with pytest.raises(ValueError, match="subpath"):
            parse_path(f"{root}/ab").relative_to(folder)
    assert not parse_path("memory://a/b").is_inside(parse_path("s3://a"))
    assert not parse_path("memory://a/b").is_inside(parse_path("/a"))
    assert not parse_path("/a/b").is_inside(parse_path("memory://a"))


@pytest.mark.parametrize("text", ["/a/b", "memory://a/b", "s3://a/b"])
def test_paths_go_into_sets_and_to_other_processes(text):
    path = parse_path(text)
    assert pickle.loads(pickle.dumps(path)) == path
    assert len({path, parse_path(text), pickle.loads(pickle.dumps(path)), path.parent}) == 2
    assert str(pickle.loads(pickle.dumps(path))) == text


def test_stats_are_compared_by_value():
    assert Stat(1, "a") == Stat(1, "a") != Stat(1, "b")
