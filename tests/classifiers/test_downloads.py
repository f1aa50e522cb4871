"""Downloads from our own server."""

import errno
import hashlib
import io
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from edgefool.classifiers import cache_folder, fetch, read_state_dict
from edgefool.classifiers.catalogue import OFFLINE
from edgefool.errors import RunError


class Server(ThreadingHTTPServer):
    """Serves one body at any path; ``cut`` is where it hangs up, ``ranges`` whether it honours Range."""

    daemon_threads = True

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.ranges, self.length, self.requests = body, None, True, True, []

    def url(self, name="file.pth"):
        return f"http://127.0.0.1:{self.server_port}/folder/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(server.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if server.length:
            self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        self.wfile.write(server.body[start : server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    buffer = io.BytesIO()
    torch.save({"w": torch.rand(50_000)}, buffer)
    with Server(buffer.getvalue()) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sha256(body):
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def fetched(server, tmp_path):
    """Fetch the server's file into a folder, by the first digits of its hash by default."""
    digits = sha256(server.body)[:8]
    return lambda known=digits: fetch(server.url(), known, tmp_path / "cache", validate=read_state_dict, progress=False)


def test_downloads_once(server, fetched, tmp_path):
    path = fetched()
    assert path == tmp_path / "cache" / "file.pth"
    assert path.read_bytes() == server.body
    assert fetched() == path
    assert server.requests == [None]
    assert not list(path.parent.glob("*.partial"))


def test_resumes_where_it_was_cut(server, fetched):
    server.cut = 70_000
    with pytest.raises(RunError, match="cut off after 70000 of"):
        fetched()
    server.cut = None
    assert fetched().read_bytes() == server.body
    assert server.requests == [None, "bytes=70000-"]


def test_starts_again_where_ranges_are_ignored(server, fetched):
    server.cut, server.ranges = 70_000, False
    with pytest.raises(RunError):
        fetched()
    server.cut = None
    assert fetched().read_bytes() == server.body
    assert len(server.requests) == 2


def test_a_whole_partial_file_is_used(server, fetched, tmp_path):
    """The process was killed between the last byte and the renaming."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file.pth.partial").write_bytes(server.body)
    assert fetched().read_bytes() == server.body


def test_no_content_length(server, fetched):
    server.length = False
    assert fetched().read_bytes() == server.body


def test_file_of_a_wrong_hash_is_renamed_and_downloaded_again(server, fetched):
    right, server.body = server.body, b"x" * 1000
    with pytest.raises(RunError, match=r"SHA-256.*renamed to file\.pth\.bad") as error:
        fetched(sha256(right)[:8])
    assert "\n" not in str(error.value)
    server.body = right
    assert fetched(sha256(right)[:8]).read_bytes() == right


def test_a_file_put_by_hand_is_checked_too(server, fetched, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file.pth").write_bytes(server.body)
    fetched()
    assert server.requests == []
    (tmp_path / "cache" / "file.pth").write_bytes(b"rotten")
    with pytest.raises(RunError, match="SHA-256"):
        fetched()


def test_unpublished_hash_is_recorded(server, fetched):
    path = fetched(None)
    record = path.with_name("file.pth.sha256")
    assert record.read_text() == f"{sha256(server.body)}  file.pth\n"
    fetched(None)
    torch.save({"w": torch.rand(3)}, path)
    with pytest.raises(RunError, match=r"deleting .*file\.pth\.sha256"):
        fetched(None)
    assert not path.exists()


def test_a_page_instead_of_a_checkpoint_is_not_recorded(server, fetched):
    """A captive portal answers every address with its own page."""
    checkpoint, server.body = server.body, b"<html>Please log in</html>"
    with pytest.raises(RunError, match="not a checkpoint"):
        fetched(None)
    server.body = checkpoint
    assert fetched(None).read_bytes() == checkpoint


def test_no_network_says_what_to_do(server, fetched, tmp_path):
    url = "http://127.0.0.1:9/folder/file.pth"  # the discard port: nothing listens
    with pytest.raises(RunError) as error:
        fetch(url, None, tmp_path / "cache", progress=False)
    message = str(error.value)
    assert url in message
    assert str(tmp_path / "cache" / "file.pth") in message
    assert message.endswith("works offline: " + ", ".join(OFFLINE))
    assert "--" not in message
    assert "\n" not in message


def test_not_found_on_the_server(server, tmp_path):
    server.body = b""
    with pytest.raises(RunError, match="416"):
        fetch(server.url(), None, tmp_path, progress=False)


def test_no_place_for_the_cache(server, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(RunError, match="cannot write"):
        fetch(server.url(), None, tmp_path / "cache", progress=False)


def test_two_at_once_download_once(server, fetched):
    threads = [threading.Thread(target=fetched) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == [None]


def test_cache_folder_is_the_user_s_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEFOOL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDGEFOOL_CACHE")
    assert cache_folder().name == "edgefool"


def test_no_answer_is_reported_as_that(tmp_path):
    for url in ("http://127.0.0.1:9/file.pth", "http://nowhere.invalid/file.pth"):
        with pytest.raises(RunError, match=rf"^cannot download {url} \(the server does not answer: "):
            fetch(url, None, tmp_path / "cache", progress=False)


def test_a_user_without_a_home(monkeypatch):
    """As in a container that runs as a number: the tilde would become a folder here."""
    monkeypatch.delenv("EDGEFOOL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(RunError, match=r"^this user has no home folder for downloads; set EDGEFOOL_CACHE to a folder"):
        cache_folder()


def test_a_home_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEFOOL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "home").write_text("a file, as root may write everywhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(RunError, match=r"^cannot write .*home.* \(Not a directory\); set EDGEFOOL_CACHE to a folder"):
        cache_folder()
    with pytest.raises(RunError, match=r"^cannot write .*home.* \(.*\); set EDGEFOOL_CACHE to a folder"):
        fetch("http://127.0.0.1:9/file.pth", None, tmp_path / "home" / "cache", progress=False)


def test_a_cache_that_can_only_be_read_is_used(server, fetched, monkeypatch):
    path = fetched()

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("edgefool.classifiers.downloads.FileLock.acquire", refuse)
    assert fetched() == path
    with pytest.raises(RunError, match=r"Read-only file system\); set EDGEFOOL_CACHE to a folder"):
        fetch(server.url("other.pth"), None, path.parent, progress=False)
