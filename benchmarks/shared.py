"""Where the real classifiers and photos are: `EDGEFOOL_SHARED`, or `shared` beside the checkout."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("EDGEFOOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
