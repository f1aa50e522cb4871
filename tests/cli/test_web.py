"""`edgefool web`: its options, its address and its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest


@pytest.fixture
def served(monkeypatch):
    """Return what the command hands to the server, which ends at once."""
    calls = []

    def serve(engine, port, *, ready, reword):
        calls.append((engine, port, reword))
        ready("http://127.0.0.1:1")
        return False

    monkeypatch.setattr("edgefool.web.serve", serve)
    return calls


@pytest.fixture
def opened(monkeypatch):
    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    return addresses


def test_options_reach_the_engine(edgefool, tiny, served, opened):
    options = ["--ensemble", f"one={tiny}:factory", "--verify-with", f"two={tiny}:other", "--max-megapixels", 7]
    code, stdout, stderr = edgefool("web", "--port", 1, "--no-open", *options)
    assert code == 130
    assert stdout == "page: http://127.0.0.1:1 (Ctrl-C ends it and deletes its photos)\n"
    assert "face recognition, which was not tested" in stderr
    assert stderr.endswith("stopped; the photos of the page are deleted\n")
    assert "Repeat" not in stderr
    ((engine, port, reword),) = served
    assert port == 1
    assert (engine.attacked, list(engine.classifiers)) == (("one",), ["one", "two"])
    assert reword("max_megapixels") == "--max-megapixels"
    assert opened == []


def test_the_page_is_opened(edgefool, tiny, served, opened):
    edgefool("web", "--ensemble", f"{tiny}:factory")
    assert served[0][1] == 0
    assert opened == ["http://127.0.0.1:1"]


def test_a_port_in_use(edgefool, tiny):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stdout, stderr = edgefool("web", "--no-open", "--ensemble", f"{tiny}:factory", "--port", port)
    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[-1] == f"error: port {port} is in use by another program; use 0 for a free one"


def test_without_the_extra(edgefool, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("edgefool.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, stdout, stderr = edgefool("web")
    assert (code, stdout) == (2, "")
    assert "pip install 'edgefool[web]'" in stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_it_at_once_and_nothing_is_left(tiny, tmp_path, make_photo, sent):
    """Also while it works on a photo."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "edgefool", "web", "--no-open", "--ensemble", f"{tiny}:factory"]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
            photo = make_photo(tmp_path / "photo.png", 1, 2000, 1500).read_bytes()
            for _ in range(2):
                request = urllib.request.Request(f"{address}/photos?name=cat.png", photo, method="POST")
                assert urllib.request.urlopen(request, timeout=10).status == 202
            assert len(list(temporary.rglob("photo.png"))) == 2
            assert oct(next(temporary.glob("edgefool-web-*")).stat().st_mode)[-3:] == "700"
            process.send_signal(sent)
            _, stderr = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stderr.endswith("stopped; the photos of the page are deleted\n")
    assert "Traceback" not in stderr
    assert list(temporary.iterdir()) == []
