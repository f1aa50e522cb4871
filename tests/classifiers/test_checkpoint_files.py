"""Kind 11: files that are no checkpoints, and what their one line says."""

import argparse
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from edgefool.classifiers.checkpoint_files import read_weights_file
from edgefool.errors import UsageError

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


def torchscript(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), path)


def onnx(path):
    """The first fields of a ModelProto: ir_version 8, producer_name, and the graph."""
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x05\n\x03abc")


def numpy_archive(path):
    with path.open("wb") as file:
        np.savez(file, weight=np.ones(3))


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/weights.bin", b"123")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin", "w"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (torchscript, ["a TorchScript archive", "state_dict"]),
        (onnx, ["an ONNX model", "PyTorch weights"]),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"),
            ["a Git LFS pointer", "git lfs pull"],
        ),
        (
            lambda path: path.write_text("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"),
            ["a web page", "download it again"],
        ),
        (lambda path: path.write_text("<HTML><HEAD>"), ["a web page"]),
        (lambda path: path.write_text("\ufeff\r\n<!-- saved -->\r\n<html>", encoding="utf-8"), ["a web page"]),
        (lambda path: path.write_text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), ["a web page"]),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), ["an HDF5 file"]),
        (lambda path: path.write_bytes(b"GGUF\x03" + bytes(99)), ["a GGUF file"]),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(99)), ["a compressed archive", "unpack"]),
        (numpy_archive, ["a zip archive without"]),
        (archive, ["a zip archive without"]),
        (lambda path: path.write_bytes(b""), ["empty"]),
    ],
)
def test_the_line_says_what_a_file_is_and_what_would_work(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(UsageError) as error:
        read_weights_file(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name} is not a checkpoint: it is ")
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin", "w.ckpt", "w"])
@pytest.mark.parametrize(
    "write",
    [
        save_file,
        lambda tensors, path: save_file(tensors, path, metadata={"format": "pt"}),
        torch.save,
        lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    ],
)
def test_the_suffix_does_not_matter(tmp_path, name, write):
    write(TENSORS, tmp_path / name)
    found = read_weights_file(tmp_path / name)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize("left", [9, 30, 100, -1])
def test_cut_short_safetensors_under_another_suffix(tmp_path, left):
    (tmp_path / "w.bin").write_bytes(save(TENSORS)[:left])
    with pytest.raises(UsageError, match="not a complete safetensors file"):
        read_weights_file(tmp_path / "w.bin")


def test_json_is_no_safetensors(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "b"}}))
    with pytest.raises(UsageError, match=r"is not a checkpoint, or is damaged"):
        read_weights_file(tmp_path / "model.safetensors.index.json")


def test_the_arguments_of_a_training_script_are_no_code(tmp_path):
    """Scripts of torchvision, DeiT and others save their `argparse.Namespace` beside the weights."""
    held = {"model": TENSORS, "args": argparse.Namespace(lr=0.1, name="x", of=[1, 2])}
    torch.save(held, tmp_path / "w.pth")
    assert torch.equal(read_weights_file(tmp_path / "w.pth")["model"]["bias"], TENSORS["bias"])
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_warnings_of_torch_stay_inside(tmp_path, recwarn):
    torch.save({"w": torch.eye(3).to_sparse_csr()}, tmp_path / "w.pth")
    recwarn.clear()
    read_weights_file(tmp_path / "w.pth")
    assert not recwarn.list
