"""Source files as syntax trees, each parsed once."""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def tree(file: Path) -> ast.Module:
    """Parse a file.

    Without the garbage collector meanwhile: where it runs a finaliser, Python 3.11 may lose count of how deep it is
    in the tree, and fail with "AST constructor recursion depth mismatch".
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(file.read_bytes())
    finally:
        if enabled:
            gc.enable()
