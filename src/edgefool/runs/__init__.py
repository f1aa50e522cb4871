"""What was done: run folders, their cells and their records."""

from edgefool.runs.cell import Cell, CellMember, Size
from edgefool.runs.class_groups import ClassGroups
from edgefool.runs.opening import check_run, open_run
from edgefool.runs.records import MemberDecisions, Prediction, Quality, Record, Session
from edgefool.runs.run_folder import RunFolder, read_run
from edgefool.runs.tables import load_records
from edgefool.runs.transformed import TransformedClasses

__all__ = [
    "Cell",
    "CellMember",
    "ClassGroups",
    "MemberDecisions",
    "Prediction",
    "Quality",
    "Record",
    "RunFolder",
    "Session",
    "Size",
    "TransformedClasses",
    "check_run",
    "load_records",
    "open_run",
    "read_run",
]
