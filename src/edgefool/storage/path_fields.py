"""Fields of pydantic's models that hold paths."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from edgefool.storage.address import is_address
from edgefool.storage.files import is_remote, local_path, parse_path


def _keep_address(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, str) and is_address(value):
        return parse_path(value)
    return value if is_remote(value) else handler(value)


def _refuse_address(value: object) -> object:
    return local_path(value) if isinstance(value, str) or is_remote(value) else value  # type: ignore[arg-type]


AnyPath = Annotated[Path, WrapValidator(_keep_address), PlainSerializer(str, when_used="json")]
"""A field of a model that holds a path or an address."""

LocalPath = Annotated[Path, BeforeValidator(_refuse_address)]
"""A field of a model that holds a path and no address."""
