"""For the reference of the guide: roles of Sphinx in docstrings (``:func:`analyze```) become plain code, sessions (``>>>``) blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")
# Sections of NumPy's style are underlined; the others are Google's.
_UNDERLINE = re.compile(r"^ *-{3,}$", re.MULTILINE)
# From the first prompt to the next blank line.
_SESSION = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites each docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            if _UNDERLINE.search(obj.docstring.value):
                obj.docstring.parser = griffe.Parser.numpy
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _SESSION.sub(_block, text)


def _block(session: re.Match[str]) -> str:
    indent = session[1]
    lines = re.sub(r" +# doctest: .*", "", session[0])
    return f"{indent}```pycon\n{lines}\n{indent}```"
