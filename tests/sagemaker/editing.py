"""Documents with another value somewhere."""

import copy
import re

from hypothesis import strategies as st

GONE = object()
"""Stands for no value at all."""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def paths_in(node: object, path: str = "") -> list[str]:
    """Return the path of everything inside a document."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, child in children for found in (f"{path}.{key}", *paths_in(child, f"{path}.{key}"))]


def edited(job: dict, *edits: tuple[str, object]) -> dict:
    """Return a copy of a request with other values at some paths; GONE removes one."""
    job = copy.deepcopy(job)
    for path, value in edits:
        *steps, last = [int(step) if step.isdigit() else step for step in re.findall(r"[\w-]+", path)]
        node = job
        for step in steps:
            node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return job
