"""The guide and the README do what they say: their snippets run, and what they show is what comes out.

* A ``python`` block is run; the blocks of a page run one after the other in one process, in an empty folder with the ``data`` of the
  repository. What a block prints is shown in the ``text`` block that follows it at once, and nothing is printed that is not shown.
* ``<!-- needs: torch -->`` before a block: from here to the next heading blocks are run where that module can be imported.
* Lines of a ``sh`` block that call ``linstab`` are run in the same folder, after the page's Python; other lines are set-up and are not.
* ``![...](pictures/NAME.svg)`` is the file ``NAME.svg`` that a block of the page writes.

With LINSTAB_UPDATE_GUIDE=1 outputs and pictures that are no longer what comes out are written anew, in the place of a failure.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
GUIDE = PACKAGE / "docs"
PAGES = [PACKAGE / "README.md", *sorted(GUIDE.rglob("*.md"))]
FRAMEWORKS = ("jax", "torch", "distributed")

# Sums come out another way on another processor, and a training makes more of it: numbers may differ by this, relative to the larger.
SAME = 2e-3
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
PICTURE = re.compile(r"!\[[^\]]*\]\((pictures/[^)]+)\)")
# Columns of code that a page of the built guide shows.
MOST_COLUMNS = 100
# Lines of a page: a short page is two screens, its snippets and outputs included.
MOST_LINES = 150
END = "---- end of a block ----"


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int  # of its first line, from 1
    needs: str | None
    output: str | None = None
    output_line: int = 0


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page; a ``text`` block that follows another at once is its output."""
    found: list[Block] = []
    needs, language, start, after = None, None, 0, False
    lines = page.splitlines()
    for number, line in enumerate(lines, start=1):
        if language is not None:
            if line.strip() == "```":
                block = Block(language, "".join(f"{text}\n" for text in lines[start : number - 1]), start + 1, needs)
                if language == "text" and after and found[-1].output is None:
                    found[-1] = Block(**{**found[-1].__dict__, "output": block.text, "output_line": block.line})
                else:
                    found.append(block)
                language, after = None, True
        elif line.startswith("```"):
            language, start = line[3:].split()[0] if line[3:].strip() else "none", number
        elif line.startswith("#"):
            needs, after = None, False
        elif marker := re.fullmatch(r"<!-- needs: (\w+) -->", line.strip()):
            needs, after = marker[1], False
        elif line.strip():
            after = False
    assert language is None, f"a block that begins at line {start} has no end"
    return found


def same(shown: str, came: str) -> bool:
    """Whether texts are equal but for the last digits of their numbers and for the width of columns."""
    shown, came = (re.sub(r" +(?=\n|$)|(?<=\S) +(?= )", "", text.strip()) for text in (shown, came))
    if NUMBER.split(shown) != NUMBER.split(came):
        return False
    pairs = zip(*([float(n) for n in NUMBER.findall(text)] for text in (shown, came)))
    return all(abs(a - b) <= SAME * max(abs(a), abs(b)) for a, b in pairs)


def run_python(page: Path, blocks: list[Block], folder: Path) -> list[str]:
    """What each block prints; a traceback names the lines of the page."""
    script = ""
    for block in blocks:
        # The end is told where the page has the fence: outside of whatever is indented.
        script += "\n" * (block.line - 1 - script.count("\n")) + block.text + f"print({END!r})\n"
    program = folder / f"{page.stem}.py"
    program.write_text(script)
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, program.name], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{page}:\n{run.stderr[-4000:]}"
    return run.stdout.split(END + "\n")[:-1]


def run_commands(page: Path, block: Block, command: str, folder: Path) -> str | None:
    """What the lines that call the command print; None if there are none."""
    lines = [shlex.split(line) for line in block.text.splitlines() if line.startswith("linstab ")]
    came = ""
    for line in lines:
        run = subprocess.run([command, *line[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{page}:{block.line}: `{shlex.join(line)}` ends with {run.returncode}\n{run.stderr}"
        came += run.stdout
    return came if lines else None


def chosen(page: Path, framework: str | None) -> list[Block]:
    """The blocks that are run with a framework, or with none."""
    blocks = blocks_of(page.read_text())
    needs = {block.needs for block in blocks}
    assert needs <= {None, *FRAMEWORKS}, f"{page}: {needs} are not among {FRAMEWORKS}"
    if framework is not None and framework not in needs:
        pytest.skip("nothing on this page needs it")
    if framework is not None and importlib.util.find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    return [block for block in blocks if block.needs in (None, framework)]


def rewrite(page: Path, moved: list[tuple[Block, str]]) -> None:
    """Writes outputs into a page."""
    lines = page.read_text().splitlines()
    for block, came in sorted(moved, key=lambda pair: -pair[0].line):
        shown = [line.rstrip() for line in came.rstrip().splitlines()]
        if block.output is None:
            at = block.line - 1 + len(block.text.splitlines()) + 1
            lines[at:at] = ["", "```text", *shown, "```"]
        else:
            at = block.output_line - 1
            lines[at : at + len(block.output.splitlines())] = shown
    page.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("framework", [None, *FRAMEWORKS], ids=["plain", *FRAMEWORKS])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_of_guide(page: Path, framework: str | None, command: str, tmp_path: Path) -> None:
    blocks = chosen(page, framework)
    (tmp_path / "data").symlink_to(PACKAGE.parents[1] / "data")
    python = [block for block in blocks if block.language == "python"]
    came = list(zip(python, run_python(page, python, tmp_path), strict=True))
    for block in blocks:
        if block.language == "sh" and (printed := run_commands(page, block, command, tmp_path)) and block.output is not None:
            came.append((block, printed))
    moved = [(block, printed) for block, printed in came if not same(block.output or "", printed)]
    pictures = {page.parent / name: tmp_path / Path(name).name for name in PICTURE.findall(page.read_text())}
    redrawn = [
        (shown, made) for shown, made in pictures.items() if not shown.exists() or not same(shown.read_text(), made.read_text())
    ]
    if os.environ.get("LINSTAB_UPDATE_GUIDE"):
        rewrite(page, moved)
        for shown, made in redrawn:
            shown.write_text(made.read_text())
        return
    for block, printed in moved:
        pytest.fail(f"{page}:{block.line}: the page shows\n{block.output}\nit prints\n{printed}")
    assert not redrawn, f"{page}: not what the page draws: {[shown.name for shown, _ in redrawn]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_of_guide_are_short(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert len(lines) <= MOST_LINES, f"{page} has {len(lines)} lines, allowed: {MOST_LINES}"
    assert lines[0].startswith("# "), f"{page} has no title"
    for block in blocks_of(page.read_text()):
        wide = [line for line in block.text.splitlines() if len(line) > MOST_COLUMNS]
        assert block.language == "text" or not wide, f"{page}: wider than {MOST_COLUMNS} columns: {wide}"


def test_guide_is_there() -> None:
    names = {page.stem for page in PAGES}
    assert {"README", "index", "from-your-model", "limits"} <= names
    run = [block for page in PAGES for block in blocks_of(page.read_text()) if block.language == "python"]
    shown = [block for block in run if block.output]
    assert len(run) > 20 and len(shown) > 15, (len(run), len(shown))


def test_links_of_readme_lead_somewhere() -> None:
    # Those of the pages are checked when the guide is built.
    links = re.findall(r"\]\(([^)#]+)", (PACKAGE / "README.md").read_text())
    gone = [link for link in links if not link.startswith("http") and not (PACKAGE / link).exists()]
    assert len(links) > 5 and not gone, gone


def test_reference_has_all_that_is_public() -> None:
    entries = {name for page in PAGES for name in re.findall(r"^::: ([\w.]+)", page.read_text(), re.MULTILINE)}
    for module in ("linstab", "linstab.torch", "linstab.jax", "linstab.errors"):
        path = PACKAGE / "python" / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        public = next(
            ast.literal_eval(node.value)
            for node in ast.parse(source.read_text()).body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
        )
        last = {entry.rsplit(".", 1)[1] for entry in entries if entry.startswith("linstab.")}
        absent = set(public) - last - {"__version__"}
        assert not absent, f"{module}: {absent} are not in the reference"


# What the test is worth: pages with a mistake.


def test_guide_blocks_are_found() -> None:
    page = "# T\n```python\nprint(1)\n```\n\n```text\n1\n```\n<!-- needs: torch -->\n```python\nx\n```\nSo:\n```text\nfree\n```\n## U\n```sh\nls\n```\n"
    found = [(block.language, block.line, block.needs, block.output) for block in blocks_of(page)]
    assert found == [("python", 3, None, "1\n"), ("python", 11, "torch", None), ("text", 15, "torch", None), ("sh", 19, None, None)]


def test_guide_outputs_are_compared() -> None:
    assert same("stable up to 0.6062  (certified)\n", "stable up to 0.6063 (certified)")
    assert not same("stable up to 0.6062", "stable up to 0.6162"), "a number that moved"
    assert not same("stable up to 0.6062", "unstable up to 0.6062"), "a word"
    assert not same("", "1\n"), "what is printed is shown"
    assert not same("1 2", "1"), "a number more"
    assert not same("-1.0", "1.0"), "a sign"
    assert not same("1\n2", "1 2"), "a line"


def test_guide_snippets_that_fail_are_told_by_line(tmp_path: Path) -> None:
    page = tmp_path / "broken.md"
    page.write_text("# Broken\n\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(AssertionError, match=r'broken.py", line 5'):
        run_python(page, blocks_of(page.read_text()), tmp_path)


def test_the_first_screen_of_the_repository_shows_what_is_run_here() -> None:
    """Its Python, and what that prints, are blocks of the package's README, whose snippets are run."""
    blocks = [block for block in blocks_of((PACKAGE.parents[1] / "README.md").read_text()) if block.language == "python"]
    run = [(block.text, block.output) for block in blocks_of((PACKAGE / "README.md").read_text())]
    assert blocks and all((block.text, block.output) in run and block.output for block in blocks)
