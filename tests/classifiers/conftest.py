"""A server on loopback that plays the Hugging Face hub and the server of torchvision's weights."""

import hashlib
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest


class Hub(ThreadingHTTPServer):
    """Serves ``files``, bytes by path; ``requests`` are the paths asked for with GET."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files, self.requests = {}, []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def publish(self, repository, **files):
        """Add a repository of the hub; a file's name has ``_`` before its suffix."""
        for name, body in files.items():
            self.files[f"/{repository}/resolve/main/{'.'.join(name.rsplit('_', 1))}"] = body


class HubHandler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        body = self.server.files.get(self.path)
        if body is None:
            known = any(path.startswith(self.path.partition("/resolve/")[0]) for path in self.server.files)
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        return body

    def do_GET(self):
        self.server.requests.append(self.path)
        if (body := self.do_HEAD()) is not None:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Return a hub that this process uses, with empty caches."""
    with Hub() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        use_endpoint(monkeypatch, server.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Let nothing answer, with empty caches, and the hub's client try again at once."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def use_endpoint(monkeypatch, endpoint):
    """Do what HF_ENDPOINT does when huggingface_hub is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
