"""What was done: run folders and their records."""

from edgefool.runs.run_folder import Record, RunFolder, load_records, open_run

__all__ = ["Record", "RunFolder", "load_records", "open_run"]
