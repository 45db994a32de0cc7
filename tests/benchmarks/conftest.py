"""stumpy takes a minute to compile, and a few rows are quick without."""

from __future__ import annotations

import os

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
