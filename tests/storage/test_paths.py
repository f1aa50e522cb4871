"""Text becomes an absolute path or an address, and what must be on the disk is."""

import os
from pathlib import Path

import pytest

from edgefool.errors import UsageError
from edgefool.storage import LocalStore, ObjectStore, StorePath, local_path, parse_path
from edgefool.storage.paths import is_address


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("photos", "photos"),
        ("/a/b.png", "/a/b.png"),
        ("./a//b/../c", "a/c"),
        ("s3:/a", "s3:/a"),
        ("C:/x", "C:/x"),
        ("a b://c", "a b:/c"),
        ("://x", ":/x"),
        ("file:///a/b", "/a/b"),
    ],
)
def test_what_is_no_address_is_a_path(tmp_path, monkeypatch, text, key):
    monkeypatch.chdir(tmp_path)
    expected = StorePath(LocalStore(), os.path.normpath(tmp_path / key))
    assert parse_path(text) == expected
    assert local_path(text) == Path(expected.key)
    assert not is_address(text) or text.startswith("file:")
    if not text.startswith("file:"):
        assert parse_path(Path(text)) == expected
    monkeypatch.chdir("/")
    assert parse_path(expected) == expected, "it stays where it is when the process goes elsewhere"


@pytest.mark.parametrize(
    ("text", "scheme", "key"),
    [
        ("s3://bucket/a", "s3", "bucket/a"),
        ("S3://bucket/a/", "s3", "bucket/a"),
        ("s3://Bucket", "s3", "Bucket"),
        ("memory://a/B.png", "memory", "a/B.png"),
    ],
)
def test_addresses(text, scheme, key):
    assert is_address(text)
    assert parse_path(text) == parse_path(parse_path(text)) == StorePath(ObjectStore(scheme), key)
    assert str(parse_path(text)) == f"{scheme}://{key}"


def test_unknown_kinds_of_addresses():
    with pytest.raises(UsageError, match=r"^nix://\.\.\. is not a known kind of store$"):
        parse_path("nix://a/b")


@pytest.mark.parametrize("path", ["s3://bucket/net.pth", parse_path("memory://net.pth")])
def test_what_must_be_local_is(path):
    message = f"^{path} must be a file on the disk of each machine that uses it, not an address$"
    with pytest.raises(UsageError, match=message):
        local_path(path)


@pytest.mark.parametrize("text", ["", "file://", "s3://", "memory:///"])
@pytest.mark.parametrize("parse", [parse_path, local_path])
def test_an_empty_path_is_not_the_current_folder(parse, text):
    with pytest.raises(UsageError, match=f"^a path is empty: '{text}'$"):
        parse(text)
