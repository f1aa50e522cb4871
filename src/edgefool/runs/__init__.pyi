from .cell import Cell, CellMember, Size
from .class_groups import ClassGroups
from .measurements import Prediction, Quality, TransformedClasses
from .opening import check_run, open_run
from .records import MemberDecisions, Record, Session
from .run_folder import RunFolder, read_run
from .tables import load_records

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
