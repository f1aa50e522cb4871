from .cell import Cell, CellMember, Size
from .opening import check_run, open_run
from .records import MemberDecisions, Prediction, Quality, Record, Session
from .run_folder import RunFolder, read_run
from .tables import load_records

__all__ = [
    "Cell",
    "CellMember",
    "MemberDecisions",
    "Prediction",
    "Quality",
    "Record",
    "RunFolder",
    "Session",
    "Size",
    "check_run",
    "load_records",
    "open_run",
    "read_run",
]
