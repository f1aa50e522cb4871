"""The lazy namespaces, whose names stand in stubs."""

from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["edgefool", "edgefool.classifiers", "edgefool.metrics"])
def test_every_name_of_the_stub_exists(package):
    module = import_module(package)
    assert module.__all__
    assert not [name for name in module.__all__ if getattr(module, name, None) is None]
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018
