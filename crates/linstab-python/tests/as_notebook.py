"""Runs an example as a notebook does: cell by cell, in a namespace that no file has. ``python as_notebook.py EXAMPLE``."""

from __future__ import annotations

import __future__
import re
import sys
import types
from pathlib import Path


def cells(text: str) -> list[tuple[bool, str]]:
    """Whether it is code, and the content, of each cell of a script in the percent format."""
    parts = re.split(r"^# %%( \[markdown\])?\n", text, flags=re.MULTILINE)
    assert not parts[0].strip(), "there is something before the first cell"
    return [(mark is None, content) for mark, content in zip(parts[1::2], parts[2::2])]


def main(path: Path) -> None:
    """Runs the cells of code."""
    notebook = types.ModuleType("__main__")
    sys.modules |= {"__main__": notebook, "ipykernel": types.ModuleType("ipykernel")}
    sys.path.insert(0, str(path.parent))
    for number, (is_code, content) in enumerate(cells(path.read_text())):
        if is_code:
            # What a cell asks of the language holds in the next ones.
            flags = __future__.annotations.compiler_flag
            exec(compile(content, f"cell {number} of {path.name}", "exec", flags, dont_inherit=True), vars(notebook))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
