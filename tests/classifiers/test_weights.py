"""Downloads from a server of our own, and files that are not what they seem."""

import hashlib
import io
import os
import pickle
import sys
import threading
import types
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from edgefool.classifiers.weights import cache_folder, fetch, read_state_dict
from edgefool.errors import RunError, UsageError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "n": torch.tensor(3)}


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
    """Fetch the server's file into a folder, by the first digits of its hash unless told otherwise."""
    digits = sha256(server.body)[:8]
    return lambda known=digits: fetch(server.url(), known, tmp_path / "cache", progress=False)


def test_downloads_once(server, fetched, tmp_path):
    path = fetched()
    assert path == tmp_path / "cache" / "file.pth"
    assert path.read_bytes() == server.body
    assert fetched() == path
    assert server.requests == [None]
    assert not list(path.parent.glob("*.partial"))


def test_goes_on_where_it_was_cut(server, fetched):
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


def test_no_length_told(server, fetched):
    server.length = False
    assert fetched().read_bytes() == server.body


def test_wrong_hash_is_set_aside_and_can_be_renewed(server, fetched):
    right, server.body = server.body, b"x" * 1000
    with pytest.raises(RunError, match=r"SHA-256.*set aside as file\.pth\.bad") as error:
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


def test_unpublished_hash_is_remembered(server, fetched):
    path = fetched(None)
    memory = path.with_name("file.pth.sha256")
    assert memory.read_text() == f"{sha256(server.body)}  file.pth\n"
    fetched(None)
    torch.save({"w": torch.rand(3)}, path)
    with pytest.raises(RunError, match=r"deleting .*file\.pth\.sha256"):
        fetched(None)
    assert not path.exists()


def test_a_page_instead_of_a_checkpoint_is_not_remembered(server, fetched):
    """A captive portal answers every address with its own page."""
    checkpoint, server.body = server.body, b"<html>Please log in</html>"
    with pytest.raises(RunError, match="not a checkpoint"):
        fetched(None)
    server.body = checkpoint
    assert fetched(None).read_bytes() == checkpoint


def test_no_network_says_what_to_do(server, fetched, tmp_path):
    url = "http://127.0.0.1:9/folder/file.pth"  # the discard port: nobody listens
    with pytest.raises(RunError) as error:
        fetch(url, None, tmp_path / "cache", progress=False)
    told = str(error.value)
    assert url in told
    assert str(tmp_path / "cache" / "file.pth") in told
    assert "--classifier caltech101-resnet" in told
    assert "\n" not in told


def test_not_found_on_the_server(server, tmp_path):
    server.body = b""
    with pytest.raises(RunError, match="416"):
        fetch(server.url(), None, tmp_path, progress=False)


def test_no_place_for_the_cache(server, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(RunError, match="cannot download"):
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


def same(state):
    assert state.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(state[name], tensor)


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"epoch": 3, "arch": "x", "best": 0.5, "state_dict": tensors},
        lambda tensors: {"model": tensors},
        lambda tensors: {f"module.{name}": x for name, x in tensors.items()},
        lambda tensors: {"state_dict": {name.replace("a.", "a.module."): x for name, x in tensors.items()}},
        lambda tensors: {name: x.half() if x.is_floating_point() else x for name, x in tensors.items()},
        lambda tensors: {name: torch.nn.Parameter(x, requires_grad=False) for name, x in tensors.items()},
    ],
)
def test_reads_torch_files(tmp_path, wrap, new_format):
    torch.save(wrap(TENSORS), tmp_path / "w.pth.tar", _use_new_zipfile_serialization=new_format)
    same(read_state_dict(tmp_path / "w.pth.tar"))


def test_reads_safetensors_in_half_precision_as_float32(tmp_path):
    half = {name: x.half() if x.is_floating_point() else x for name, x in TENSORS.items()}
    save_file(half, tmp_path / "w.safetensors")
    same(read_state_dict(tmp_path / "w.safetensors"))


def test_reads_files_of_python_2(tmp_path):
    """Python 2 wrote its strings as bytes; the Places365 files are such."""

    class Pickler(pickle._Pickler):
        dispatch = pickle._Pickler.dispatch.copy()

        def save_old_string(self, text):
            self.write(pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode("latin1"))
            self.memoize(text)

        dispatch[str] = save_old_string

    python2 = types.SimpleNamespace(
        __name__="pickle", Pickler=Pickler, dump=lambda item, file, protocol: Pickler(file, protocol).dump(item)
    )
    file = tmp_path / "w.pth.tar"
    nested = {"author": "B\xe9la", "state_dict": {f"module.{name}": x for name, x in TENSORS.items()}}
    torch.save(nested, file, pickle_module=python2, pickle_protocol=2, _use_new_zipfile_serialization=False)
    assert b"U\x0fmodule.a.weight" in file.read_bytes()
    same(read_state_dict(file))


class Evil:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f'"{sys.executable}" -c "open({str(self.sentinel)!r}, \'w\')"',)


@pytest.mark.parametrize(
    "save",
    [
        torch.save,
        partial(torch.save, _use_new_zipfile_serialization=False),
        lambda item, path: path.write_bytes(pickle.dumps(item, protocol=2)),
        lambda item, path: path.write_bytes(pickle.dumps(item)),
    ],
)
def test_code_is_refused_and_never_run(tmp_path, save):
    sentinel = tmp_path / "ran"
    save({"w": 1, "evil": Evil(sentinel)}, tmp_path / "evil.pth")
    with pytest.raises(UsageError) as error:
        read_state_dict(tmp_path / "evil.pth")
    assert "\n" not in str(error.value)
    assert not sentinel.exists()
    Evil(sentinel).__reduce__()[0](*Evil(sentinel).__reduce__()[1])
    assert sentinel.exists()  # it does run when it is let


def test_a_whole_network_is_refused_as_code(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"would run code; save the weights alone"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("body", [b"", b"x", b"hello, I am a text file\n" * 99, bytes(range(256)) * 9])
def test_what_is_not_a_checkpoint(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(UsageError) as error:
        read_state_dict(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("save", [partial(torch.save, _use_new_zipfile_serialization=False), torch.save, save_file])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.95])
def test_cut_short(tmp_path, save, left):
    file = tmp_path / ("w.safetensors" if save is save_file else "w.pth")
    save({"w": torch.rand(1000)}, file)
    body = file.read_bytes()
    file.write_bytes(body[: int(len(body) * left)])
    with pytest.raises(UsageError):
        read_state_dict(file)


@pytest.mark.parametrize("held", [{}, [torch.ones(2)], torch.ones(2), {"a": 1}, {"state_dict": {}}, {"epoch": 3}])
def test_files_that_hold_no_tensors_by_name(tmp_path, held):
    torch.save(held, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="tensors by name"):
        read_state_dict(tmp_path / "w.pth")


def test_missing_file_or_a_folder(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UsageError, match="no weights file"):
            read_state_dict(path)
