import ctypes
import sys

import psutil
import pytest
import torch

from edgefool.memory import free_memory, release_large_blocks, release_memory


def test_real_memory_is_some():
    assert 2**20 < free_memory(torch.device("cpu")) < psutil.virtual_memory().total


def test_a_share_of_it_is_less():
    assert free_memory(torch.device("cpu"), 0.5) < free_memory(torch.device("cpu"), 1.0)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_freed_memory_goes_back():
    process = psutil.Process()
    blocks = [bytearray(100_000) for _ in range(2_000)]  # too small to be given back at once
    last = bytearray(100_000)  # on top, so that the heap cannot shrink by itself
    del blocks
    kept = process.memory_info().rss
    release_memory()
    assert process.memory_info().rss < kept - 100e6
    del last


@pytest.mark.parametrize("release", [release_memory, release_large_blocks])
def test_other_c_libraries_are_left_alone(release, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    release()
    monkeypatch.setattr(sys, "platform", "darwin")
    release()
