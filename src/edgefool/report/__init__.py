"""Report: what people see of a run, read from its folder alone."""

from edgefool.report.contact_sheet import contact_sheet
from edgefool.report.results import Results, load_results, make_results
from edgefool.report.tables import (
    TABLES,
    detectability_table,
    misleading_table,
    quality_table,
    summary_table,
    transferability_table,
)

__all__ = [
    "TABLES",
    "Results",
    "contact_sheet",
    "detectability_table",
    "load_results",
    "make_results",
    "misleading_table",
    "quality_table",
    "summary_table",
    "transferability_table",
]
