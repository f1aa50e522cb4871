"""Tables in the terminal: no untrusted text as it is, and the numbers that are there."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefool.cli.console import err, out, print_left_out, print_records, print_summary
from edgefool.runs import Record
from edgefool.text import plain

NASTY = "[red]x[/b] :cat: \x1b[31m\u202e\n\r\x07\x9b\udcff"
TAME = "[red]x[/b] :cat: ?[31m??????"


@given(st.text())
def test_plain_text_stays_on_its_line(text):
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(new in (old, "?") for new, old in zip(shown, text, strict=True))
    assert plain(shown) == shown


@pytest.mark.parametrize("console", [out, err])
def test_consoles_take_text_as_it_is(console, capsys):
    console.print(plain(NASTY))
    assert "".join(capsys.readouterr()) == f"{TAME}\n"


def words(line: str) -> str:
    return " ".join(line.split())


def make_record(image: str = "cat", **changes: object) -> Record:
    settings = {
        "cell": "pics/nfgsm/a",
        "dataset": "pics",
        "image": image,
        "source": f"/photos/{image}.png",
        "method": "nfgsm",
        "classifier": "a",
        "original_name": "tabby",
        "original_probability": 0.511,
        "adversarial_name": "beaver",
        "adversarial_probability": 0.987,
        "success": True,
        "iterations": 12,
        "seconds": 3.21,
        "psnr": 31.06,
    }
    return Record.model_validate(settings | changes)


# Records


def test_records_are_rows(capsys):
    print_records(
        [make_record(), make_record("dog", success=False, converged=True, psnr=math.inf), make_record("cow", psnr=None)]
    )
    heading, cat, dog, cow = capsys.readouterr().out.splitlines()
    assert words(heading) == "image original adversarial success converged iterations seconds PSNR"
    assert words(cat) == "cat tabby 51% beaver 99% yes no 12 3.2 31.1 dB"
    assert words(dog) == "dog tabby 51% beaver 99% no yes 12 3.2 inf dB"
    assert words(cow) == "cow tabby 51% beaver 99% yes no 12 3.2"


def test_errors_are_shown_in_their_rows(capsys):
    print_records([make_record(error=NASTY, original_name=None, iterations=None, seconds=None, psnr=None)])
    assert f"error: {TAME}" in capsys.readouterr().out


def test_only_the_first_records_are_shown(capsys):
    print_records([make_record(f"photo{k}") for k in range(7)], limit=5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*(f"photo{k}" for k in range(5)), "…"]
    assert lines[-1] == "… and 2 more in the records"


def test_names_in_records_are_plain(capsys):
    print_records([make_record(NASTY.replace("/", "|"), original_name=NASTY, adversarial_name=NASTY)])
    stdout = capsys.readouterr().out
    assert stdout.count(TAME) == 2
    assert all(line.isprintable() for line in stdout.splitlines())


def test_records_that_are_left_out_are_counted(capsys):
    print_left_out(0)
    print_left_out(3)
    assert capsys.readouterr().err.startswith("note: 3 records are left out: their photos are no longer in")


# Summaries

ROW = {
    "dataset": "pics",
    "method": "nfgsm",
    "classifier": "a",
    "images": 8,
    "errors": 0,
    "misled": 0.5,
    "misled_low": 0.125,
    "misled_high": 0.875,
    "misled_float": 0.625,
    "transferred": 0.251,
    "null": 0.042,
    "detected": 1.0,
    "psnr": 31.06,
    "ssim": 0.98765,
    "lpips": 0.0456,
    "iterations": 10.0,
    "seconds": 0.017,
}


def test_a_summary_has_a_table_for_each_dataset(capsys):
    print_summary(pd.DataFrame([ROW, ROW | {"dataset": "scenes", "method": "cw"}, ROW | {"classifier": "b"}]))
    blank, pics, heading, first, second, _, scenes, _, last = capsys.readouterr().out.splitlines()
    assert (blank, pics, scenes) == ("", "pics", "scenes")
    assert words(heading).startswith(
        "method classifier images misleading 95 % before rounding transferred by enhancing"
    )
    numbers = "8 50.0% 12% to 88% 62.5% 25.1% 4.2% 100.0% 31.1 0.988 0.046 10 0.02"
    assert words(first) == f"nfgsm a {numbers}"
    assert words(second) == f"nfgsm b {numbers}"
    assert words(last) == f"cw a {numbers}"


def test_what_was_not_measured_is_left_blank(capsys):
    unknown = dict.fromkeys((name for name in ROW if name not in ("dataset", "method", "classifier")), math.nan)
    print_summary(pd.DataFrame([ROW | unknown | {"images": 0, "errors": 3}]))
    row = capsys.readouterr().out.splitlines()[-1]
    assert words(row) == "nfgsm a 0 + 3 errors"


def test_only_the_first_rows_are_shown(capsys):
    print_summary(pd.DataFrame([ROW | {"method": f"m{k}"} for k in range(7)]), limit=5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 5 + 1
    assert lines[-1] == "… and 2 more in the tables"


def test_names_in_summaries_are_plain(capsys):
    name = NASTY.removesuffix("\udcff")  # a plan refuses names that are no Unicode, and so do columns of pyarrow
    print_summary(pd.DataFrame([ROW | {"dataset": name, "method": name, "classifier": name}]))
    stdout = capsys.readouterr().out
    assert stdout.count(TAME[:-1]) == 3
    assert all(line.isprintable() for line in stdout.splitlines())
