"""Report: what people see of a run, read from its folder alone."""

from edgefool.report.contact_sheet import contact_sheet
from edgefool.report.results import Results, load_results, make_results
from edgefool.report.tables import (
    detectability_table,
    make_tables,
    misleading_table,
    quality_table,
    transferability_table,
)

__all__ = [
    "Results",
    "contact_sheet",
    "detectability_table",
    "load_results",
    "make_results",
    "make_tables",
    "misleading_table",
    "quality_table",
    "transferability_table",
]
