"""MPLBACKEND and the user's matplotlib settings: figures and page come out the same, byte for byte."""

import os
import subprocess
import sys

import matplotlib as mpl
import pandas as pd
import pytest

from edgefool.plotting import default_style
from edgefool.report import draw_figure, load_results, rates_figure
from edgefool.report.figures import encode_figure
from edgefool.runs import read_run

HOSTILE = {
    "text.usetex": True,  # needs LaTeX
    "font.family": "monospace",
    "font.size": 30,
    "figure.facecolor": "black",
    "figure.dpi": 20,
    "axes.prop_cycle": mpl.cycler(color=["red"]),
    "axes.titlecolor": "red",
    "image.interpolation": "bicubic",
    "lines.linewidth": 9,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "pdf.fonttype": 3,
    "pdf.compression": 0,
}


@pytest.mark.parametrize(
    ("module", "backend"),
    [
        ("edgefool.plotting", "x"),
        pytest.param("edgefool.metrics", "module://nowhere", marks=pytest.mark.slow),
    ],
)
def test_mplbackend_of_another_environment(module, backend):
    """LPIPS imports matplotlib too, by torchmetrics."""
    use = {
        "edgefool.plotting": "module.Figure",
        "edgefool.metrics": "from edgefool.classifiers.vision import torchvision;"
        "module.Lpips('squeeze', torchvision.models.squeezenet1_1(weights=None).state_dict())",
    }[module]
    code = f"import os, {module} as module; {use}; assert os.environ.get('MPLBACKEND', '') == {backend!r}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("backend", "kept"), [("pdf", "pdf"), ("module://json", "module://json")])
def test_a_backend_that_is_there_stays_the_users(backend, kept):
    code = f"import edgefool.plotting, matplotlib; assert matplotlib.rcParams['backend'] == {kept!r}"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "MPLBACKEND": backend}, check=True)


@pytest.mark.parametrize(("number", "kind"), [(4, "png"), (5, "svg"), (6, "pdf")])
def test_figures_under_other_settings(plan_done, number, kind):
    run = read_run(plan_done.run.path)
    results = load_results(run.path)
    before = encode_figure(draw_figure(number, run, results), kind)
    with mpl.rc_context(HOSTILE):
        assert encode_figure(draw_figure(number, run, results), kind) == before
        assert mpl.rcParams["font.size"] == 30, "the user's settings stay"


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_of_an_empty_table_under_other_settings(dark):
    columns = ["dataset", "method", "classifier", "target", "null"]
    tables = dict.fromkeys(("misleading", "transferability"), pd.DataFrame(columns=columns))
    before = encode_figure(rates_figure(tables, dark=dark), "svg")
    with mpl.rc_context(HOSTILE):
        assert encode_figure(rates_figure(tables, dark=dark), "svg") == before


def test_the_style_does_not_leak():
    before = dict(mpl.rcParams)
    with mpl.rc_context({"text.usetex": True}):
        with default_style({"font.size": 3}):
            assert (mpl.rcParams["text.usetex"], mpl.rcParams["font.size"]) == (False, 3)
        assert mpl.rcParams["text.usetex"]
    assert dict(mpl.rcParams) == before
