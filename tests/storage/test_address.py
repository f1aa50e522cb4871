"""An address does what a path does, in a store in memory and over S3; whatever fails is one line with the address."""

import errno
import os
import pickle
import sys
from datetime import UTC, datetime, timedelta

import fsspec
import pytest

from edgefool.errors import UsageError
from edgefool.storage import address as address_module
from edgefool.storage.address import Address, is_address


@pytest.fixture
def unreachable(monkeypatch):
    """Return an address at a server that is not there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address_module._reach.cache_clear()
    yield Address.parse("s3://bucket/run")
    address_module._reach.cache_clear()


def test_names():
    address = Address.parse("S3://bucket/a/cat.tar.gz")
    assert is_address("s3://x")
    assert (str(address), address.name, address.stem, address.suffix) == (
        "s3://bucket/a/cat.tar.gz",
        "cat.tar.gz",
        "cat.tar",
        ".gz",
    )
    assert str(address.parent / "b" / "c.png") == "s3://bucket/a/b/c.png"
    assert str(address.with_name("x")) == "s3://bucket/a/x"
    assert str(address.with_suffix(".xz")) == "s3://bucket/a/cat.tar.xz"
    assert address.parts == ("s3://", "bucket", "a", "cat.tar.gz")
    assert str(address.relative_to(address.parent.parent)) == "a/cat.tar.gz"
    assert Address.parse("s3://bucket/a/") == Address.parse("s3://bucket/a")


def test_an_address_goes_to_other_processes_and_into_sets():
    address = Address.parse("memory://a/b")
    assert pickle.loads(pickle.dumps(address)) == address
    assert len({address, Address.parse("memory://a/b"), Address.parse("memory://a/c")}) == 2


def test_what_is_written_is_there(store):
    folder = store / "run"
    assert not folder.exists()
    assert (folder.scan(), folder.find()) == (([], []), [])
    path = folder / "a" / "x y[1].png"
    for data in (b"first", b"second", b""):
        path.write_bytes(data)
        assert path.read_bytes() == path.open("rb").read() == data
    (folder / "b").write_bytes("τ".encode())
    assert (folder / "b").read_text() == "τ"
    (store / "run2").write_bytes(b"beside")
    assert [folder.exists(), folder.is_dir(), folder.is_file()] == [True, True, False]
    assert [path.exists(), path.is_dir(), path.is_file()] == [True, False, True]
    assert folder.scan() == ([folder / "b"], [folder / "a"])
    assert folder.find() == [path, folder / "b"]
    assert (folder / "*" / "*.png").glob() == [path]
    assert (folder / "*").glob() == [folder / "b"]
    assert (folder / "**" / "*").glob() == [path, folder / "b"]


def test_nothing_that_others_write_is_hidden_by_what_was_read(store):
    (store / "run" / "a").write_bytes(b"1")
    assert (store / "run").scan() == ([store / "run/a"], [])
    other = fsspec.filesystem(store.scheme, skip_instance_cache=True)
    other.pipe_file(str(store / "run" / "b"), b"2")
    assert (store / "run").find() == [store / "run/a", store / "run/b"]
    assert (store / "run" / "b").is_file()


def test_an_object_is_read_at_once(bucket, monkeypatch):
    data = bytes(60 * 2**20)  # s3fs would read ranges of 50 MiB, and mix two versions
    (bucket / "a").write_bytes(data)
    store, asked = address_module._reach("s3", os.getpid()), []
    genuine = store._call_s3
    monkeypatch.setattr(store, "_call_s3", lambda method, *a, **k: (asked.append(method), genuine(method, *a, **k))[1])
    assert (bucket / "a").read_bytes() == data
    assert asked == ["get_object"]


def test_only_the_first_creates(store):
    (store / "a").create(b"mine")
    with pytest.raises(FileExistsError):
        (store / "a").create(b"yours")
    assert (store / "a").read_bytes() == b"mine"


def test_what_is_deleted_is_gone(store):
    (store / "a").write_bytes(b"1")
    (store / "a").unlink()
    assert not (store / "a").exists()
    (store / "a").unlink(missing_ok=True)


def test_the_store_says_when(store):
    (store / "a").write_bytes(b"1")
    assert abs((store / "a").modified() - datetime.now(UTC)) < timedelta(seconds=60)


def test_what_is_not_there(store):
    with pytest.raises(FileNotFoundError) as caught:
        (store / "none").read_bytes()
    assert caught.value.filename == str(store / "none")
    assert caught.value.strerror in ("No such file or directory", "The specified key does not exist.")


def test_no_bucket(bucket):
    lost = Address.parse("s3://nowhere/run")
    assert not lost.exists()
    for ask in (lost.read_bytes, lost.find, lambda: lost.write_bytes(b""), lambda: lost.create(b"")):
        with pytest.raises(FileNotFoundError, match="The specified bucket does not exist: 's3://nowhere/run'"):
            ask()


def test_no_credentials(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    address_module._reach.cache_clear()
    with pytest.raises(OSError, match="Unable to locate credentials: 's3://bucket"):
        bucket.exists()
    address_module._reach.cache_clear()


def test_no_answer(unreachable):
    with pytest.raises(OSError, match="Could not connect to the endpoint URL") as caught:
        unreachable.exists()
    assert caught.value.errno == errno.EIO
    assert "\n" not in str(caught.value)


def test_no_permission(bucket, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(address_module._reach("s3", os.getpid()), "pipe_file", refuse)
    with pytest.raises(PermissionError, match="Access Denied: 's3://bucket"):
        (bucket / "a").write_bytes(b"")


@pytest.mark.parametrize(
    ("scheme", "missing", "message"),
    [
        ("s3", "s3fs", r"^s3://\.\.\. needs edgefool\[s3\]: pip install 'edgefool\[s3\]'$"),
        ("gs", "gcsfs", r"^gs://\.\.\. cannot be reached: Please install gcsfs to access Google Storage$"),
    ],
)
def test_what_is_not_installed_is_told(monkeypatch, scheme, missing, message):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    address_module._check_reachable.cache_clear()
    with pytest.raises(UsageError, match=message):
        Address.parse(f"{scheme}://bucket/run")
    address_module._check_reachable.cache_clear()
