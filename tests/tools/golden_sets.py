"""Golden data sets: small ones that a released shape of the documents was written as, and that must open for ever.

    golden_sets.py FOLDER      write the sets of the code that is imported to FOLDER, such as tests/golden/v1

They are written once, by the code of their time, and never again. Their source lies at an address that every machine
has, fsspec's memory, since a plan holds the absolute address of its source.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
from PIL import Image

from packer.options import PackOptions, parse_options
from packer.pipeline import pack
from packer.resharding import reshard

GOLDEN = Path(__file__).parents[1] / "golden"
LISTED = "tfrecord"
"""Of a CSV listing with an extra column, floats as labels; has a reject and a fill."""
FOLDERS = "recordio"
"""Of class folders, stratified; has a reject, a fill and a copy."""
FIELDS = "tfrecord-fields"
"""Of a listing with boxes, masks, key points and texts beside the label; has a reject, and leaves out a copy."""
TARS = "webdataset"
"""Of class folders, stratified; has a reject, a fill and a copy."""
INTERRUPTED = "tfrecord-interrupted"
"""`pack` that ended after three of its four shards: of the class folders, from version 2 on of the one with fields."""
COPY_INTERRUPTED = "reshard-interrupted"
"""`reshard` for four ranks that ended after three of its eight shards: of `FOLDERS` to TFRecord, from version 2 on of
`FIELDS` to WebDataset."""
WHOLE_SETS = {"v1": (LISTED, FOLDERS), "v2": (FIELDS, TARS)}
"""The finished sets of each version."""

_CLASSES = ("ant", "bee", "crow")
_NUM_IMAGES = 25
_FIELDS = ("object=boxes:boxes+kinds", "segment=mask:mask", "pose=points:joints+seen", "caption=text:words")


class _InterruptionError(Exception):
    """Ends a run in the middle."""


class _Engine:
    """Runs tasks one after another in this process; ends the run after some shards, if it shall."""

    def __init__(self, max_shards: int = sys.maxsize) -> None:
        self._max_shards = max_shards

    def run(self, function: Any, context: Any, tasks: Sequence[int], tick: Any) -> Iterator[Any]:
        for task in tasks:
            if function.__name__ in ("pack_shard", "reshard_shard") and task >= self._max_shards:
                raise _InterruptionError
            yield function(context, task, tick)

    def close(self) -> None:
        return


def pack_options(version: str, name: str, dest: str) -> dict[str, Any]:
    """Return the options by which the set `name` was made, for `pack` or `reshard`."""
    place = f"memory://shardpack-golden-{version}"
    if name == COPY_INTERRUPTED:
        source, container = (FOLDERS, "tfrecord") if version == "v1" else (FIELDS, "webdataset")
        return {"source": f"{place}/{source}", "dest": dest, "gpus": 4, "allow_fill": True, "format": container}
    common = {"dest": dest, "gpus": 2, "resize": "24", "split": "train=0.75,val=0.25", "allow_fill": True}
    common["max_rejects"] = 0.1
    if name == LISTED:
        return {**common, "source": f"{place}/images.csv", "label_column": "hue,size", "seed": 7}
    if name == FIELDS or (name == INTERRUPTED and version != "v1"):
        return {**common, "source": f"{place}/images.jsonl", "dedupe": True, "field": list(_FIELDS)}
    container = {FOLDERS: "recordio", TARS: "webdataset"}.get(name, "tfrecord")
    return {**common, "source": f"{place}/images", "format": container, "stratify": True}


def options_of(version: str, name: str, dest: Path, **changes: Any) -> PackOptions:
    """Return the options of the set `name` with some changed."""
    return parse_options({**pack_options(version, name, str(dest)), **changes})


def load_sources(version: str) -> None:
    """Put the pictures of a version, their listing and the set that is copied where its plans say that they are."""
    folder = GOLDEN / version
    memory = fsspec.filesystem("memory")
    copied = pack_options(version, COPY_INTERRUPTED, "")["source"].rpartition("/")[2]
    sources = (*folder.glob("images/*/*"), *folder.glob("masks/*"), *folder.glob("images.*"))
    for path in (*sources, *(folder / copied).rglob("*")):
        if path.is_file():
            memory.pipe_file(f"/shardpack-golden-{version}/{path.relative_to(folder)}", path.read_bytes())


def _write_images(folder: Path) -> None:
    """Write 25 pictures of smooth noise, a copy of one, one that is none, and a listing of them all with fields."""
    chance = random.Random(1)
    rows = []
    (folder / "masks").mkdir(parents=True)
    for index in range(_NUM_IMAGES):
        noise = Image.frombytes("RGB", (5, 4), chance.randbytes(60))
        kind, suffix = ("PNG", "png") if index % 5 == 4 else ("JPEG", "jpg")
        path = folder / "images" / _CLASSES[index % 3] / f"{index:02d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        noise.resize((26 + index % 7, 26 + index % 5), Image.Resampling.BICUBIC).save(buffer, kind)
        path.write_bytes(buffer.getvalue())
        mask = Image.new("L", (26 + index % 7, 26 + index % 5))
        mask.paste(index % 7 + 1, (4, 4, 20, 18))
        mask.save(folder / f"masks/{index:02d}.png")
        rows.append(_row(f"images/{path.parent.name}/{path.name}", index))
    (folder / "images/ant/copy.jpg").write_bytes((folder / "images/ant/00.jpg").read_bytes())
    (folder / "images/bee/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    rows += [_row("images/ant/copy.jpg", 0), _row("images/bee/broken.jpg", 1)]
    (folder / "images.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _row(path: str, index: int) -> dict[str, Any]:
    """Return what the listing says of a picture: among others up to two boxes, and two key points, one not visible."""
    return {
        "path": path,
        "label": index % 3,
        "boxes": [[1.5, 2, 10 + index % 5, 12], [5, 5, 20, 25]][: index % 3],
        "kinds": ["wing", "eye"][: index % 3],
        "mask": f"masks/{index:02d}.png",
        "joints": [12, 8 + index % 9, 3, 3],
        "seen": [2, 0],
        "words": [f"picture {index}", "noise"],
        "size": index % 5,
    }


def digests_file(version: str, name: str) -> Path:
    """Return the file with the sha256 of each file that an interrupted run makes if it is not disturbed, by path."""
    return GOLDEN / version / f"{name}.json"


def write_sets(folder: Path) -> None:
    """Write every set of this version to a new folder."""
    _write_images(folder)
    version = folder.name
    os.chdir(folder)  # so that no report of a run names a place of this machine
    platform.node = lambda: "golden"
    for name in WHOLE_SETS[version]:
        load_sources(version)
        pack(parse_options(pack_options(version, name, name)), engine=_Engine())
    load_sources(version)
    for name, run in ((INTERRUPTED, pack), (COPY_INTERRUPTED, reshard)):
        with tempfile.TemporaryDirectory() as dest:
            run(parse_options(pack_options(version, name, dest)), engine=_Engine())
            text = json.dumps(_digests(Path(dest)), indent=2, sort_keys=True)
            digests_file(version, name).write_text(text + "\n")
        try:
            run(parse_options(pack_options(version, name, name)), engine=_Engine(3))
        except _InterruptionError:
            continue
        raise AssertionError(f"{name}: expected an interruption")


def _digests(dest: Path) -> dict[str, str]:
    paths = [path for path in dest.rglob("*") if path.is_file() and path.name != "run.json"]
    return {str(path.relative_to(dest)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


if __name__ == "__main__":
    GOLDEN = Path(sys.argv[1]).resolve().parent
    write_sets(Path(sys.argv[1]).resolve())
