"""Tables, figures and the page of a run, made from its folder alone."""

from edgefool.report.detection import detectability_table
from edgefool.report.differences_table import differences_table
from edgefool.report.figures import FIGURES, draw_figure, save_figure
from edgefool.report.image_figures import comparison_figure, intermediate_figure, perturbation_figure
from edgefool.report.latex import detectability_latex
from edgefool.report.page import write_report
from edgefool.report.rates_figure import rates_figure
from edgefool.report.results import Results, load_results, make_results
from edgefool.report.robustness_table import robustness_table
from edgefool.report.semantics_table import semantics_table
from edgefool.report.tables import (
    make_tables,
    misleading_table,
    quality_table,
    transferability_table,
)

__all__ = [
    "FIGURES",
    "Results",
    "comparison_figure",
    "detectability_latex",
    "detectability_table",
    "differences_table",
    "draw_figure",
    "intermediate_figure",
    "load_results",
    "make_results",
    "make_tables",
    "misleading_table",
    "perturbation_figure",
    "quality_table",
    "rates_figure",
    "robustness_table",
    "save_figure",
    "semantics_table",
    "transferability_table",
    "write_report",
]
