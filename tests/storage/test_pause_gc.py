import gc

import pytest

from edgefool.storage.pause_gc import pause_gc, spare_from_gc


def test_it_is_off_and_then_as_it_was():
    with pause_gc():
        assert not gc.isenabled()
        with pause_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_turns_it_on_again():
    with pytest.raises(KeyError), pause_gc():
        raise KeyError
    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off():
    gc.disable()
    try:
        with pause_gc():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_exists_is_spared_and_then_collected_again():
    with spare_from_gc():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
