"""Write packer/docs/api.md, the page of the Python interface, from signatures and docstrings:  write_api_page.py"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import packer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "packer/docs/api.md"
_MAX_CHARS = 110
_HEAD = """# Python interface

Made from signatures and docstrings by `make schemas`. `import packer` loads no heavy library; each name loads what it
needs when it is first used.
"""


def render_page() -> str:
    """Return the page: what `packer` exports, by name, with the public methods of classes."""
    parts = [_HEAD]
    for name in sorted(packer.__all__, key=str.lower):
        thing = getattr(packer, name)
        parts.append(_render(f"packer.{name}", thing, level=2))
        if inspect.isclass(thing):
            parts += [_render(method, member, level=3) for method, member in _methods(thing)]
    return "\n".join(parts)


def _methods(kind: type) -> list[tuple[str, Any]]:
    own = vars(kind).items()
    return [(name, member) for name, member in own if inspect.isfunction(member) and not name.startswith("_")]


def _render(name: str, thing: Any, *, level: int) -> str:
    lines = [f"{'#' * level} {name}", ""]
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        lines += ["```python", _signature(name, thing), "```", ""]
    text = inspect.getdoc(thing) or ""
    lines += [_as_markdown(text), ""]
    return "\n".join(lines)


def _signature(name: str, thing: Any) -> str:
    signature = inspect.signature(thing)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    shown = _unquoted(f"{name}{signature.replace(parameters=kept)}")
    if len(shown) <= _MAX_CHARS:
        return shown
    returned = "" if signature.return_annotation is inspect.Signature.empty else f" -> {signature.return_annotation}"
    marks = ["    *,"] if any(p.kind is p.KEYWORD_ONLY for p in kept) else []
    rows = [f"    {p}," for p in kept if p.kind is not p.KEYWORD_ONLY]
    rows += marks + [f"    {p}," for p in kept if p.kind is p.KEYWORD_ONLY]
    return "\n".join([f"{name}(", *map(_unquoted, rows), f"){returned}"])


def _unquoted(text: str) -> str:
    """Return text with annotations as they are written, which Python shows as texts."""
    return re.sub(r"""(: |-> )(["'])(.*?)\2(?= = |,|\)|$)""", r"\1\3", text)


def _as_markdown(text: str) -> str:
    """Return a docstring with its lists of arguments and errors as bullets."""
    lines, is_list = [], False
    for line in text.splitlines():
        if line in ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:"):
            lines += [f"**{line[:-1]}**", ""]
            is_list = True
        elif is_list and line.startswith("        "):
            lines[-1] += f" {line.strip()}"
        elif is_list and line.startswith("    "):
            lines.append(f"- {line.strip()}")
        else:
            is_list = is_list and not line
            lines.append(line.replace("``", "`"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(render_page(), encoding="utf-8")
