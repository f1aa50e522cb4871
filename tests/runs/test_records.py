"""Names and texts in records."""

import os

from hypothesis import given
from hypothesis import strategies as st

from edgefool.runs.records import source_text
from edgefool.text import slug


@given(st.text())
def test_slug_is_one_plain_folder(name):
    assert slug(name) == slug(slug(name))
    assert not set(slug(name)) & set('/\\:*?"<>|\n\0')
    assert slug(name).strip(".")


def test_source_text_distinguishes_names_that_are_not_utf8():
    one, other = (os.fsdecode(b"/photos/caf\xc3\xa9" + end) for end in (b"\xff", b"\xfe"))
    assert source_text(one) == "/photos/café\\xff"
    assert source_text(other) == "/photos/café\\xfe"
