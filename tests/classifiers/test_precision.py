"""The settings of torch are global: they must hold while any thread needs them, and come back afterwards."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from edgefool.classifiers.precision import full_float32

CONVOLUTIONS, PRODUCTS = torch.backends.cudnn.conv, torch.backends.cuda.matmul


def read():
    return torch.backends.cudnn.allow_tf32, CONVOLUTIONS.fp32_precision, PRODUCTS.fp32_precision


@pytest.mark.parametrize("allowed", [True, False])
def test_the_users_settings_come_back(allowed, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    before = read()
    with full_float32():
        assert read() == (False, "ieee", "ieee")
        with torch.backends.cudnn.flags(enabled=False):  # libraries read them all to set one
            pass
    assert read() == before


def test_they_come_back_after_an_error():
    before = read()
    with pytest.raises(ZeroDivisionError), full_float32():
        raise ZeroDivisionError
    assert read() == before


def test_they_hold_until_the_last_thread_is_done():
    before, first_is_done, second_has_begun = read(), Barrier(2, timeout=60), Barrier(2, timeout=60)

    def first():
        with full_float32():
            second_has_begun.wait()
        first_is_done.wait()

    def second():
        with full_float32():
            second_has_begun.wait()
            first_is_done.wait()
            return read()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        assert pool.submit(second).result() == (False, "ieee", "ieee")
    assert read() == before
