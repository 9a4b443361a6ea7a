"""The fault suites use what other suites made: the failing system calls, the scripts' model, the index's damages."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "unit"))
