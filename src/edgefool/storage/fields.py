"""Types of pydantic fields that hold paths, in a separate module as the command line starts without pydantic."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from edgefool.storage.paths import local_path, parse_path
from edgefool.storage.store import StorePath


def _parse(value: object) -> StorePath:
    if not isinstance(value, str | Path | StorePath):
        raise ValueError("Input should be a path")
    return parse_path(value)


def _local(value: object) -> object:
    return str(local_path(value)) if isinstance(value, str | Path | StorePath) else value  # JSON has no paths


AnyPath = Annotated[StorePath, PlainValidator(_parse), PlainSerializer(str)]
"""A field that holds a path or an address."""

LocalPath = Annotated[Path, BeforeValidator(_local)]
"""A field that holds a path on this machine's disk, absolute."""
