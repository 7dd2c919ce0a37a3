"""Whatever bytes an archive, a list or a manifest holds: items or a SourceError, soon and in little memory."""

import functools
import json
import tarfile
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.errors import SourceError
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source
from tests.sources.packed import write_tar, write_zip

pytestmark = pytest.mark.slow

NAMES = ["cat/1.jpg", "cat/" + "long" * 40 + ".jpg", "dog/é.png", "dog/notes.txt"]
MAX_SECONDS = 10
MAX_BYTES = 20_000_000


@functools.cache
def intact(kind):
    with tempfile.TemporaryDirectory() as folder:
        if kind == "zip":
            return write_zip(folder, NAMES).read_bytes()
        if kind == "stored.zip":
            return write_zip(folder, NAMES, compression=zipfile.ZIP_STORED).read_bytes()
        form = tarfile.GNU_FORMAT if kind == "gnu.tar" else tarfile.PAX_FORMAT
        return write_tar(folder, NAMES, format=form).read_bytes()


def check(name, data, **files):
    """List what `data` makes of a file, and hold time and memory to their bounds."""
    with tempfile.TemporaryDirectory() as folder:
        for key in files.get("images", ()):
            (Path(folder) / key).touch()
        path = Path(folder) / name
        path.write_bytes(data)
        started = time.monotonic()
        tracemalloc.start()
        text = folder
        try:
            listing = list_source(SourceSpec(source=str(path)))
        except SourceError as error:
            text, listing = str(error), None
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert folder in text
        assert text.isprintable()
        assert peak < MAX_BYTES
        assert time.monotonic() - started < MAX_SECONDS
        return listing


@pytest.mark.parametrize("kind", ["zip", "stored.zip", "gnu.tar", "pax.tar"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_archives(kind, data):
    content = bytearray(intact(kind))
    assert check(f"x.{kind}", bytes(content)).items.num_rows == 3
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        run = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(run)] = run
    listing = check(f"x.{kind}", bytes(content))
    if listing is not None:
        ends = [
            row["_offset_bytes"] + row["_stored_bytes"] for row in listing.items.to_pylist() if row["_stored_bytes"]
        ]
        assert all(end <= len(content) for end in ends)


@pytest.mark.parametrize("kind", ["zip", "gnu.tar", "pax.tar"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_and_spliced_archives(kind, data):
    content = intact(kind)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
    check(f"x.{kind}", content[:start] + content[stop:])
    check(f"x.{kind}", content[:stop] + content[start:])


@pytest.mark.parametrize("field", [b"99999999999\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-1".ljust(12, b"\0")])
def test_tar_headers_with_mad_sizes(field):
    for kind in ("gnu.tar", "pax.tar"):
        content = bytearray(intact(kind))
        for at in range(0, len(content), 512):
            if content[at + 257 : at + 262] == b"ustar":
                changed = bytearray(content)
                changed[at + 124 : at + 136] = field
                block = changed[at : at + 512]
                changed[at + 148 : at + 156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
                assert check(f"x.{kind}", bytes(changed)) is None


def test_pax_header_that_goes_backwards():
    content = intact("pax.tar")
    for old, new in ((b"path=", b"size="), (b" path=", b" siz=-")):
        check("x.tar", content.replace(old, new))
    check("x.tar", content.replace(b"1", b"0"))


list_line = st.one_of(
    st.text("0123456789.-\te+n \r", max_size=30).map(str.encode),
    st.binary(max_size=30),
    st.builds(lambda i, x, name: f"{i}\t{x}\t{name}".encode(), st.integers(), st.floats(), st.sampled_from("ab")),
)


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(list_line, max_size=6), end=st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]))
def test_any_list(lines, end):
    check("x.lst", b"\n".join(lines) + end, images="ab")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class-name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
manifest_row = st.fixed_dictionaries(
    {}, optional={name: values for name in ("source-ref", "label", "label-metadata", "mask-ref", "x", "_y")}
)
good_row = st.builds(
    lambda row, label, name: row | {"source-ref": name, "label": label, "label-metadata": {"class-name": "c" * label}},
    manifest_row,
    st.integers(0, 3),
    st.sampled_from("ab"),
)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(manifest_row | good_row, max_size=4), junk=st.none() | st.binary(max_size=20), at=st.integers(0, 200)
)
def test_any_manifest(rows, junk, at):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    check("x.manifest", text if junk is None else text[:at] + junk + text[at:], images="ab")
