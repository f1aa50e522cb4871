"""Fields hold paths and addresses as they were given."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from edgefool.storage import parse_path
from edgefool.storage.fields import AnyPath, LocalPath


class Places(BaseModel):
    any: AnyPath
    own: LocalPath = Path("/own")


@pytest.mark.parametrize("text", ["memory://a/b", "/a/b"])
def test_fields_of_models_keep_paths(text):
    places = Places(any=text, own="/x//y")
    assert places.any == parse_path(text)
    assert places.own == Path("/x/y")
    assert places.model_dump(mode="json") == {"any": text, "own": "/x/y"}
    for same in (places.model_dump(), places.model_dump(mode="json")):
        assert Places.model_validate(same) == places
    assert Places.model_validate_json(places.model_dump_json()) == places
    assert Places(any=Path("/a/b")).any == parse_path("/a/b")


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = Places(any="a//b", own="c")
    assert str(places.any) == str(tmp_path / "a/b")
    assert places.own == tmp_path / "c"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"any": "a", "own": "s3://a/b"}, "own\n.*not an address"),
        ({"any": "a", "own": 5}, "own\n.*valid path"),
        ({"any": 5}, "any\n.*should be a path"),
        ({"any": "nix://a"}, "any\n.*not a known kind of store"),
    ],
)
def test_what_is_no_path(fields, message):
    with pytest.raises(ValidationError, match=message):
        Places(**fields)
