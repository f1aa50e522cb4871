"""Requests and their answers."""

import json
import re
import socket
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from edgefool.protection.protector import STEPS
from edgefool.web import make_app
from edgefool.web.guard import HEADERS


@pytest.fixture
def client(engine, jobs):
    with TestClient(make_app(engine, jobs), base_url="http://127.0.0.1:1234", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def photo(tmp_path, make_photo):
    return make_photo(tmp_path / "photo.png", 1, 72, 48).read_bytes()


@pytest.fixture
def send(client):
    def send(content, **query):
        return client.post("/photos", params={"name": "cat.png"} | query, content=content)

    return send


@pytest.fixture
def finish(client, wait_for):
    """Return what waits for a photo to be finished, and returns its last status."""

    def finish(key):
        over = ("done", "failed")
        return wait_for(lambda: (now := client.get(f"/photos/{key}").json())["state"] in over and now)

    return finish


def test_from_upload_to_download(client, send, finish, photo, jobs):
    answer = send(photo, name="kätzchen 猫.png")
    assert answer.status_code == 202
    key = answer.json()["id"]
    status = finish(key)
    assert status["state"] == "done"
    assert (status["name"], status["ahead"], status["step"], status["size"]) == ("kätzchen 猫.png", 0, STEPS, [72, 48])
    for picture in ("original", "steps/1", f"steps/{STEPS}", "result"):
        answer = client.get(f"/photos/{key}/{picture}.jpg")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")
    answer = client.get(f"/photos/{key}/download")
    assert answer.content == jobs.get(key).result.read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{quote('kätzchen 猫.png')}"
    folder = jobs.get(key).folder
    assert client.delete(f"/photos/{key}").status_code == 204
    assert not folder.exists()
    for path in ("", "/result.jpg", "/download"):
        answer = client.get(f"/photos/{key}{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "This photo has been deleted.")


def test_what_is_not_there_yet(client, send, photo, gate, wait_for):
    gate.set(0)
    first, second = (send(photo).json()["id"] for _ in range(2))
    assert wait_for(lambda: (now := client.get(f"/photos/{first}").json())["state"] == "changing" and now)["ahead"] == 0
    waiting = client.get(f"/photos/{second}").json()
    assert (waiting["state"], waiting["ahead"]) == ("waiting", 1)
    for path in ("steps/1.jpg", "result.jpg", "download"):
        assert client.get(f"/photos/{first}/{path}").json() == {"error": "This is not ready yet."}


def test_a_photo_that_fails_has_a_sentence(send, finish):
    status = finish(send(b"Dear reader", name="letter.txt").json()["id"])
    assert status["state"] == "failed"
    assert re.fullmatch(r"letter\.txt: not an image.*\.", status["error"])
    assert (status["result"], status["verdicts"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "reason"),
    [({"strength": "strong"}, "unknown strength 'strong'"), ({"attack": "second"}, "unknown classifier 'second'")],
)
def test_unknown_options(send, photo, query, reason, jobs, tmp_path):
    answer = send(photo, **query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(reason)
    assert not list((tmp_path / "jobs").iterdir())


def test_files_that_are_too_large_or_empty(send, monkeypatch, tmp_path):
    monkeypatch.setattr("edgefool.web.app.MAX_BYTES", 2 * 10**6)
    answer = send(b"x" * (2 * 10**6 + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "The file is larger than 2 MB.")
    assert (send(b"").status_code, send(b"").json()["error"]) == (400, "The file is empty.")
    assert not list((tmp_path / "jobs").iterdir())


def test_an_upload_that_breaks_off_leaves_nothing(serving, wait_for, tmp_path, jobs, caplog):
    host, port = serving.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /photos?name=x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\nhalf".encode())
        wait_for(lambda: list((tmp_path / "jobs").rglob("photo*")))
    wait_for(lambda: not list((tmp_path / "jobs").iterdir()))
    assert jobs.all() == []
    assert caplog.text == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:1234", "127.0.0.1.evil.example", "localhost.evil:1", ""]
)
def test_other_names_for_this_machine_are_refused(client, host):
    for path in ("/", "/photos/x", "/nowhere"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 403
        assert answer.json() == {"error": "This server answers only to 127.0.0.1 and localhost."}


def test_the_two_names_of_this_machine(client):
    for host in ("127.0.0.1:1234", "localhost:1234", "localhost"):
        assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:99", "http://localhost:1234", "null"])
def test_other_pages_cannot_send_or_delete(client, send, photo, finish, origin, jobs):
    key = send(photo).json()["id"]
    for method, path in (("POST", "/photos?name=x"), ("DELETE", f"/photos/{key}")):
        answer = client.request(method, path, content=photo, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.json() == {"error": "Only the page of this server may send photos to it."}
    assert jobs.get(key)
    own = {"Origin": "http://127.0.0.1:1234"}
    assert client.delete(f"/photos/{key}", headers=own).status_code == 204


def test_every_answer_has_the_headers(client, engine, monkeypatch):
    def fail(*_):
        raise ValueError("secret")

    monkeypatch.setattr(type(engine), "options", fail)
    answers = [
        *(client.get(path) for path in ("/", "/page.css", "/page.js", "/icon.svg", "/example.png", "/photos/x", "/no")),
        client.get("/", headers={"Host": "evil.example"}),
        client.put("/photos"),
        client.post("/photos"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [404, 404, 403, 405, 500]
    for answer in answers:
        assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
        assert "secret" not in answer.text
    assert answers[-1].json()["error"].startswith("This is a bug in EdgeFool.")


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert not re.search(r"<style|style=|<script(?! src)|\son\w+=|javascript:", page)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"/page.css", "/page.js", "/icon.svg"}
    for path in ("/", "/page.css", "/page.js"):
        assert not re.search(
            r"(https?:)?//[\w.-]+\.\w", client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        )
    assert "<i>other</i>" not in page
    assert "&lt;i&gt;other&lt;/i&gt;" in page


def test_the_page_says_what_it_is_not(client, edgefool):
    text = " ".join(client.get("/").text.split())
    words = " ".join(edgefool("protect", "--help")[1].replace("\u2502", " ").split())
    (sentence,) = re.findall(r"This does not protect .*? not tested\.", words)
    assert sentence in text


def test_versions_reach_the_script(client):
    from html import unescape

    (versions,) = re.findall(r'data-versions="([^"]*)"', client.get("/").text)
    assert list(json.loads(unescape(versions))) == ["file", "jpeg75", "half", "social"]
