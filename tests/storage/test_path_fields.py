"""Fields hold paths and addresses as they were given."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from edgefool.storage.files import parse_path
from edgefool.storage.path_fields import AnyPath, LocalPath


class Places(BaseModel):
    any: AnyPath
    own: LocalPath = Path("own")


def test_fields_of_models_keep_addresses():
    places = Places(any="memory://a/b")
    assert places.any == parse_path("memory://a/b")
    assert places.model_dump(mode="json") == {"any": "memory://a/b", "own": "own"}
    assert Places(any=places.any) == places
    assert Places(any="a//b").any == Path("a/b")
    with pytest.raises(ValidationError, match="not an address"):
        Places(any="a", own="s3://a/b")
    with pytest.raises(ValidationError, match="valid path"):
        Places(any=5)
