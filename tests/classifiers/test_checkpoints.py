"""Checkpoints that are not what they seem, and networks that they do not fit."""

import os
import pickle
import sys
import types
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from edgefool.classifiers import read_state_dict
from edgefool.errors import UsageError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "n": torch.tensor(3)}


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
