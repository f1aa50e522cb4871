"""Report: what people see of a run, read from its folder alone."""

from edgefool.report.contact_sheet import contact_sheet

__all__ = ["contact_sheet"]
