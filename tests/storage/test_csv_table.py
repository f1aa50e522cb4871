"""Small CSV files of users; more kinds of them are in the tests of labels."""

import pytest

from edgefool.errors import UsageError
from edgefool.storage import parse_path
from edgefool.storage.csv_table import read_csv_table


def read(tmp_path, data):
    (tmp_path / "table.csv").write_bytes(data)
    return read_csv_table(parse_path(tmp_path / "table.csv"), ["a", "b"])


@pytest.mark.parametrize("text", ["b,a,c\n1,2,3\n\n4\n", "\ufeffb,a\r\n1,2\r\n,\r\n4,\r\n"])
def test_rows_by_column(tmp_path, text):
    rows = read(tmp_path, text.encode())
    assert [(row["b"], row.get("a", "")) for _, row in rows] == [("1", "2"), ("4", "")]
    where, _ = rows[1]
    assert where == f"'{tmp_path / 'table.csv'}', line 4"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\n1\n", "must name the columns a and b, not \\['a'\\]"),
        (b"", "must name the columns a and b"),
        (b"a,b\n\xff\n", "cannot read"),
        (b'a,b\n"1,2\n', "cannot read"),
    ],
)
def test_what_is_refused(tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, data)
