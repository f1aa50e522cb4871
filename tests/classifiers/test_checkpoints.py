"""Checkpoints that are not what they seem, and networks that they do not fit."""

import os
import pickle
import sys
import types
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgefool.classifiers import read_state_dict
from edgefool.classifiers.checkpoints import load_exactly
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


# --- kind 11: what a checkpoint holds, for a network


class Body(nn.Module):
    """Has a child called `module`, as some networks of timm have, counts batches, and has no auxiliary heads."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 3)


def filled(net=None, value=0.0):
    """Return the tensors of a network, each with other values."""
    state = (net or Body()).state_dict()
    return {name: torch.full_like(x, value + k) for k, (name, x) in enumerate(state.items())}


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


PREFIXES = [
    "",
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "backbone.",
    "module._orig_mod.",
    "model.backbone.",
    "student.",
]
NESTS = ["state_dict", "model_state_dict", "model", "ema", "state_dict_ema", "net", "weights", "module"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("nest", [None, *NESTS])
def test_prefixes_and_nests(tmp_path, recwarn, prefix, nest):
    """Also of a network that has a child called `module`."""
    state = prefixed(filled(), prefix)
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({nest: state, "epoch": 3, "optimizer": optimizer} if nest else state, tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", Body()), filled())
    taken = [nest or "its tensors"] + [f"without the prefix {prefix}"] * bool(prefix)
    said = [f"{tmp_path / 'w.pth'}: using {', '.join(taken)}"] * bool(nest or prefix)
    assert [str(warning.message) for warning in recwarn] == said


@pytest.mark.parametrize("nests", [("checkpoint", "state_dict"), ("ema", "model"), ("a", "b", "c")])
def test_deeper_nests(tmp_path, nests):
    held = filled()
    for nest in reversed(nests):
        held = {nest: held, "step": 3}
    torch.save(held, tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", Body()), filled())


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_a_prefix_that_not_all_names_have_stays(tmp_path, prefix):
    state = prefixed(filled(), prefix) | {"loss.weight": torch.ones(2)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        UsageError, match=rf"holds more than the network; choose a part of it: .*w\.pth::{prefix[:-1]}$"
    ):
        read_state_dict(tmp_path / "w.pth", Body())
    assert_same(read_state_dict(Path(f"{tmp_path / 'w.pth'}::{prefix[:-1]}"), Body()), filled())


def test_an_adversarially_trained_network_of_robustness(tmp_path):
    """That library saves the network twice, with its normalisation beside it: nothing is guessed."""
    state = prefixed(filled(), "module.model.") | prefixed(filled(), "module.attacker.model.")
    state |= {"module.normalizer.new_mean": torch.ones(3)}
    torch.save({"model": state, "epoch": 90}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"w\.pt::model\.module\.model, .*w\.pt::model\.module\.attacker\.model$"):
        read_state_dict(tmp_path / "w.pt", Body())
    assert_same(read_state_dict(Path(f"{tmp_path / 'w.pt'}::model.module.model"), Body()), filled())


@pytest.mark.parametrize("nests", [("state_dict", "state_dict_ema"), ("model", "ema"), ("student", "teacher")])
def test_between_two_candidates_nothing_is_guessed(tmp_path, nests):
    file = tmp_path / "w.pth"
    torch.save({nest: filled(value=k) for k, nest in enumerate(nests)}, file)
    for network in (Body(), None):
        with pytest.raises(UsageError) as error:
            read_state_dict(file, network)
        choices = ", ".join(f"{file}::{nest}" for nest in nests)
        assert str(error.value) == f"{file} holds several checkpoints; choose one: {choices}"
        for k, nest in enumerate(nests):
            assert_same(read_state_dict(Path(f"{file}::{nest}"), network), filled(value=k))


def test_only_one_of_two_fits(tmp_path, recwarn):
    torch.save({"generator": {"w": torch.ones(2)}, "net": filled()}, tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", Body()), filled())
    assert [str(warning.message) for warning in recwarn] == [f"{tmp_path / 'w.pth'}: using net"]


def test_a_key_that_is_not_there(tmp_path):
    torch.save({"state_dict": filled()}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"unknown key of .*w\.pth 'state_dict_ema'; did you mean state_dict"):
        read_state_dict(Path(f"{tmp_path / 'w.pth'}::state_dict_ema"))


def test_a_file_whose_name_holds_colons(tmp_path):
    torch.save(filled(), tmp_path / "a::b.pth")
    assert_same(read_state_dict(tmp_path / "a::b.pth"), filled())
    torch.save({"ema": filled()}, tmp_path / "a::b.pth")
    assert_same(read_state_dict(Path(f"{tmp_path / 'a::b.pth'}::ema")), filled())


def test_counters_of_thop_and_averaged_models(tmp_path, recwarn):
    state = prefixed(filled(), "module.") | {"n_averaged": torch.tensor(5)}
    state |= {"module.total_ops": torch.zeros(1), "module.norm.total_params": torch.zeros(1)}
    torch.save(state, tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", Body()), filled())
    (warning,) = recwarn
    assert "without n_averaged, total_ops, norm.total_params" in str(warning.message)


def test_data_parallel_inside_a_network(tmp_path):
    """As in the Places365 file of AlexNet: only the convolutions were distributed."""
    net = nn.Sequential(OrderedDict(features=nn.Sequential(nn.Linear(2, 2)), classifier=nn.Linear(2, 3)))
    state = {name.replace("features.", "features.module."): x for name, x in filled(net).items()}
    torch.save(state, tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", net), filled(net))
    torch.save(prefixed(state, "module."), tmp_path / "w.pth")
    assert_same(read_state_dict(tmp_path / "w.pth", net), filled(net))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.to_sparse(), "is sparse: save x.to_dense()"),
        (lambda x: x.to_sparse_csr(), "is sparse: save x.to_dense()"),
        (lambda x: x.to("meta"), "is without data"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "is quantised: save"),
        (lambda x: torch.quantize_per_channel(x, torch.ones(3), torch.zeros(3), 0, torch.quint8), "is quantised: save"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_plain_numbers(tmp_path, change, words):
    torch.save(filled() | {"head.weight": change(torch.ones(3, 2))}, tmp_path / "w.pth")
    for network in (Body(), None):
        with pytest.raises(UsageError) as error:
            read_state_dict(tmp_path / "w.pth", network)
        assert f"w.pth: the tensor head.weight {words}" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")  # torch is about to drop quantised networks
@pytest.mark.parametrize("network", [Body(), None])
def test_a_quantised_network(tmp_path, network):
    """Its weights are packed with the bias, beside plain numbers."""
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), {nn.Linear})
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"the tensor 0\._packed_params\._packed_params is quantised"):
        read_state_dict(tmp_path / "w.pth", network)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_numbers_of_another_kind(tmp_path, dtype):
    """8-bit integers, as other tools quantise, would be copied as if they were the weights."""
    torch.save(filled() | {"head.weight": torch.ones(3, 2, dtype=dtype)}, tmp_path / "w.pth")
    state = read_state_dict(tmp_path / "w.pth", Body())
    with pytest.raises(UsageError, match=rf"does not fit body: 1 of another type \(head.weight {dtype}\)"):
        load_exactly(Body(), state, tmp_path / "w.pth", "body")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_floats_of_any_width(tmp_path, dtype):
    save_file({name: x.to(dtype) if x.is_floating_point() else x for name, x in filled().items()}, tmp_path / "w.bin")
    assert_same(read_state_dict(tmp_path / "w.bin", Body()), filled())
