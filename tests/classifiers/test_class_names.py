"""Kind 20: files of class names as editors write them."""

import pytest

from edgefool.classifiers.class_names import class_names
from edgefool.errors import UsageError

NAMES = ("tench, Tinca tinca", "Bélier", "猫")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "pattern", ["{0}|{1}|{2}", "{0}|{1}|{2}|", "{0}|{1}|{2}||", "|{0}||{1}| |{2}|\t|", " {0}|{1} |{2}"]
)
def test_byte_order_marks_blank_lines_and_line_ends(tmp_path, encoding, end, pattern):
    text = pattern.format(*NAMES).replace("|", end)
    (tmp_path / "names.txt").write_bytes(text.encode(encoding))
    assert class_names(3, tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize("inside", ["\u2028", "\x85", "\x0b"])
def test_only_line_ends_end_a_line(tmp_path, inside):
    (tmp_path / "names.txt").write_text(f"a{inside}b\nc\n", encoding="utf-8")
    assert class_names(2, tmp_path / "names.txt") == (f"a{inside}b", "c")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "names 0 classes; the classifier has 3"),
        (b"\xef\xbb\xbf\r\n\r\n", "names 0 classes"),
        (b"a\nb\n\n", "names 2 classes"),
        (b"\xff\xfea", "cannot read the class names"),
        ("é\nb\nc".encode("latin1"), "cannot read the class names"),
    ],
)
def test_files_that_do_not_name_the_classes(tmp_path, data, message):
    (tmp_path / "names.txt").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        class_names(3, tmp_path / "names.txt")
