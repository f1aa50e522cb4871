"""An object store: one request for one thing, nothing cached, and whatever fails is one line with the address."""

import errno
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pytest

from edgefool.errors import UsageError
from edgefool.storage import ObjectStore, StorePath, object_store, parse_path


@pytest.fixture
def requests(bucket, monkeypatch):
    """Return the list of the requests that S3 gets from now on."""
    client, asked = object_store.connect("s3", os.getpid()), []
    genuine = client._call_s3

    def call(method, *arguments, **options):
        asked.append(method)
        return genuine(method, *arguments, **options)

    monkeypatch.setattr(client, "_call_s3", call)
    return asked


@pytest.fixture
def reconnected():
    """Let the clients of this test be its own."""
    object_store.connect.cache_clear()
    yield
    object_store.connect.cache_clear()


# Requests


def test_an_object_is_read_at_once(bucket, requests):
    data = bytes(60 * 2**20)  # s3fs would read ranges of 50 MiB, and mix two versions
    (bucket / "a").write(data)
    requests.clear()
    assert (bucket / "a").read() == data
    assert requests == ["get_object"]


def test_many_objects_are_asked_about_at_once(bucket, requests):
    for number in range(20):
        (bucket / f"run/images/{number}.png").write(b"")
    for ask in (
        lambda: (bucket / "run").find(),
        lambda: bucket.store.missing([(bucket / f"run/images/{number}.png").key for number in range(40)]),
    ):
        requests.clear()
        assert len(ask()) == 20
        assert len(requests) == 1


def test_nothing_that_others_write_is_hidden_by_what_was_read(store):
    (store / "run" / "a").write(b"1")
    assert list((store / "run").find()) == ["a"]
    assert (store / "run").list_folder() == ([store / "run/a"], [])
    assert not (store / "run" / "b").exists()
    other = fsspec.filesystem(store.store.scheme, skip_instance_cache=True)
    other.pipe_file(str(store / "run" / "b"), b"2")
    assert list((store / "run").find()) == ["a", "b"]
    assert (store / "run").list_folder()[0] == [store / "run/a", store / "run/b"]
    assert (store / "run" / "b").kind() == "file"
    other.rm_file(str(store / "run" / "b"))
    assert not (store / "run" / "b").exists()


def test_a_replaced_object_has_another_version(bucket):
    (bucket / "a").write(b"old")
    before = (bucket / "a").stat()
    assert before.version
    assert (bucket / "a").stat() == bucket.find()["a"] == before
    (bucket / "a").write(b"new")
    assert (bucket / "a").stat().version != before.version


def test_only_the_first_creates(store):
    store.store.create((store / "a").key, b"mine")
    with pytest.raises(FileExistsError) as caught:
        store.store.create((store / "a").key, b"yours")
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(store / "a"))
    assert (store / "a").read() == b"mine"


def test_the_store_says_when_an_object_was_written(store):
    (store / "a").write(b"1")
    assert abs(store.store.modified((store / "a").key) - datetime.now(UTC)) < timedelta(seconds=60)
    with pytest.raises(FileNotFoundError):
        store.store.modified((store / "none").key)


def test_an_object_cannot_grow(store):
    (store / "a").write(b"1")
    with pytest.raises(OSError, match="not supported") as caught:
        store.store.append((store / "a").key, b"2", durable=True)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOTSUP, str(store / "a"))
    assert (store / "a").read() == b"1"


def test_a_folder_that_a_console_made_is_empty(bucket):
    """Consoles mark a folder by an empty object whose name ends with a slash."""
    object_store.connect("s3", os.getpid()).call_s3("put_object", Bucket=bucket.key, Key="run/", Body=b"")
    assert (bucket / "run").kind() == "folder"
    assert (bucket / "run").list_folder() == ([], [])
    assert (bucket / "run").find() == {}
    (bucket / "run/a").write(b"1")
    assert list((bucket / "run").find()) == ["a"]


@pytest.mark.parametrize("moment", range(5))
def test_the_last_file_of_a_folder_comes_after_those_that_it_leads_to(memory, monkeypatch, moment):
    """Whatever the moment at which the process is killed."""
    new = {"index.html": b"new: a", "a.png": b"new", "b/c.png": b"new"}
    for name in ("index.html", "old.png"):
        (memory / "report" / name).write(b"old")

    def build(folder):
        for name, data in new.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)

    left, genuine = [moment], {name: getattr(ObjectStore, name) for name in ("write", "delete")}

    def dying(name):
        def call(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return genuine[name](*arguments)

        return call

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        for name in genuine:
            patch.setattr(ObjectStore, name, dying(name))
        (memory / "report").replace_folder(build, "index.html")
    found = {name: (memory / "report" / name).read() for name in (memory / "report").find()}
    if found["index.html"] == b"old":
        assert found["old.png"] == b"old"
    else:
        assert new.items() <= found.items()
    assert ("old.png" in found) == (moment < 4)


# Failures


def test_no_bucket(bucket):
    lost = parse_path("s3://nowhere/run")
    assert not lost.exists()
    asks = (lost.read, lost.find, lambda: lost.write(b""), lambda: lost.store.create(lost.key, b""))
    for ask in asks:
        with pytest.raises(
            FileNotFoundError, match="The specified bucket does not exist: 's3://nowhere/run'"
        ) as caught:
            ask()
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "s3://nowhere/run")


@pytest.mark.usefixtures("reconnected")
def test_no_credentials(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    object_store.connect.cache_clear()
    with pytest.raises(OSError, match="Unable to locate credentials: 's3://bucket"):
        bucket.exists()


@pytest.mark.usefixtures("reconnected")
@pytest.mark.parametrize("scheme", ["s3", "http"])
@pytest.mark.parametrize(
    "ask",
    [
        StorePath.exists,
        StorePath.read,
        StorePath.find,
        StorePath.list_folder,
        StorePath.delete,
        lambda path: path.write(b""),
        lambda path: path.store.missing([path.key]),
    ],
)
def test_no_answer(monkeypatch, scheme, ask):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = {"s3": "s3://bucket/run", "http": "http://127.0.0.1:9/run"}[scheme]
    if scheme == "http" and ask is StorePath.delete:
        pytest.skip("fsspec deletes nothing over HTTP")
    with pytest.raises(OSError, match=r"the server does not answer \(.*[Cc]onnect") as caught:
        ask(parse_path(address))
    assert caught.value.errno == errno.EIO
    assert caught.value.filename.startswith(address.removesuffix("/run"))
    assert "\n" not in str(caught.value)


@pytest.fixture
def web():
    """Return the address of a web server, and the statuses that it answers with in turn."""
    statuses = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(statuses[0])

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/photos/cat.png", statuses
        server.shutdown()


@pytest.mark.parametrize("ask", [StorePath.read, StorePath.kind, StorePath.stat, StorePath.find])
@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_server_that_refuses_is_not_a_missing_file(web, ask, status):
    address, statuses = web
    statuses.append(status)
    with pytest.raises(OSError, match=f"^.Errno {errno.EIO}. {status}, message=") as caught:
        ask(parse_path(address))
    assert caught.value.filename == address


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_a_server_does_not_have_is_missing(web, status):
    address, statuses = web
    statuses.append(status)
    assert parse_path(address).kind() is None


@pytest.mark.parametrize(
    ("error", "number", "message"),
    [
        (PermissionError("Access Denied"), errno.EACCES, "Access Denied"),
        (OSError(errno.EBUSY, "Please reduce your request rate."), errno.EBUSY, "Please reduce your request rate."),
        (NotImplementedError("A header you provided is not implemented"), errno.ENOSYS, "A header you provided"),
        (RuntimeError("two\nlines"), errno.EIO, "two lines"),
        (KeyError("word"), errno.EIO, "Input/output error"),
        (TimeoutError(), errno.EIO, r"the server does not answer \(TimeoutError\)"),
    ],
)
def test_whatever_a_client_raises_is_an_oserror_with_the_address(memory, monkeypatch, error, number, message):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(object_store.connect("memory", os.getpid()), "pipe_file", refuse)
    with pytest.raises(OSError, match=message) as caught:
        (memory / "a").write(b"")
    assert (caught.value.errno, caught.value.filename) == (number, "memory://store/a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "missing", "message"),
    [
        ("s3", "s3fs", r"^s3://\.\.\. needs edgefool\[s3\]: pip install 'edgefool\[s3\]'$"),
        ("gs", "gcsfs", r"^gs://\.\.\. cannot be reached: Please install gcsfs to access Google Storage$"),
    ],
)
def test_what_is_not_installed(monkeypatch, scheme, missing, message):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    object_store._check_reachable.cache_clear()
    with pytest.raises(UsageError, match=message):
        parse_path(f"{scheme}://bucket/run")
    object_store._check_reachable.cache_clear()
