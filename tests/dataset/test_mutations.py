"""Verification finds each change of a document, or the change is one that no reader can see."""

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from packer.dataset.planfile import PlanDocument, encode_part
from packer.dataset.receipt import RejectedItem
from packer.errors import PackerError
from packer.pipeline import pack
from packer.progress import SilentProgress
from packer.verifying import verify
from tests.tools.datasets import SerialEngine
from tests.tools.golden_sets import FOLDERS, GOLDEN, LISTED, load_sources, options_of

_CREATED_BY = b"parquet-cpp-arrow version"


def flip(content: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(content))
    return content[:position] + bytes([content[position] ^ 1 << chance.randrange(8)]) + content[position + 1 :]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def insert(content: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(content) + 1)
    return content[:position] + chance.choice([b" ", b"\n", b"0", b"x", b"\0", b",", b'"']) + content[position:]


def delete(content: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(content))
    return content[:position] + content[position + 1 + chance.randrange(3) :]


def exchange(content: bytes, chance: random.Random) -> bytes:
    """Let two stretches of the same length change places."""
    first, second = sorted(chance.sample(range(len(content)), 2))
    length = min(second - first, len(content) - second, 1 + chance.randrange(40))
    a, b = content[first : first + length], content[second : second + length]
    return content[:first] + b + content[first + length : second] + a + content[second + length :]


MUTATIONS = (flip, flip, cut, insert, delete, exchange)


def never(before: bytes, after: bytes) -> bool:
    return False


def is_other_arrow(before: bytes, after: bytes) -> bool:
    """The version of Arrow that wrote a table is covered by no digest: another one may write other bytes.

    What another release of Arrow wrote is known by its rows alone.
    """
    if f"version {pa.__version__}".encode() not in before:
        return pq.ParquetFile(io.BytesIO(before)).read().equals(pq.ParquetFile(io.BytesIO(after)).read())
    start = before.rindex(_CREATED_BY) + len(_CREATED_BY)
    stop = start + 12
    return len(before) == len(after) and before[:start] == after[:start] and before[stop:] == after[stop:]


def is_other_remark(before: bytes, after: bytes) -> bool:
    """What a decoder said of a reject is for people."""
    old, new = ([msgspec.json.decode(line) for line in text.splitlines()] for text in (before, after))
    for reject in (*old, *new):
        assert set(reject) == set(RejectedItem.__struct_fields__)
        reject["detail"] = ""
    return old == new


def is_other_place(before: bytes, after: bytes) -> bool:
    """Release 0.1.0 wrote plans without a digest: what the header does not hold decided nothing in the shards."""
    old, new = (msgspec.json.decode(text, type=PlanDocument) for text in (before, after))
    return (old.plan_id, old.header, old.encoder.sha256) == (new.plan_id, new.header, new.encoder.sha256)


DOCUMENTS: dict[str, tuple[str, Callable[[bytes, bytes], bool]]] = {
    "manifest": ("manifest.json", never),
    "plan": ("meta/plan.json", never),
    "items": ("meta/plan/*.parquet", is_other_arrow),
    "labels": ("meta/labels.json", never),
    "rejects": ("meta/rejects.jsonl", is_other_remark),
    "tables of records": ("meta/records/*/*.parquet", is_other_arrow),
    "indexes": ("meta/index/**/*.*", never),
}


@pytest.fixture(scope="module", params=["golden", "new"])
def dest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two data sets, of an earlier release or of this one."""
    folder = tmp_path_factory.mktemp("mutated")
    for name in (LISTED, FOLDERS):
        if request.param == "golden":
            shutil.copytree(GOLDEN / "v1" / name, folder / name)
        else:
            load_sources("v1")
            pack(options_of("v1", name, folder / name), engine=SerialEngine())
    return folder


def is_found(dest: Path) -> bool:
    try:
        return bool(verify(str(dest), SerialEngine(), SilentProgress()).faults)
    except PackerError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("name", [LISTED, FOLDERS])
@pytest.mark.parametrize(("pattern", "is_harmless"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_each_change_is_found(dest: Path, name: str, pattern: str, is_harmless: Callable[[bytes, bytes], bool]) -> None:
    paths = [path for path in sorted((dest / name).glob(pattern)) if path.is_file()]
    assert paths
    if "digest" not in json.loads((dest / name / "meta/plan.json").read_bytes()) and "plan.json" in pattern:
        is_harmless = is_other_place
    chance = random.Random(pattern + name)
    assert not is_found(dest / name)
    for _ in range(60):
        path, mutate = chance.choice(paths), chance.choice(MUTATIONS)
        before = path.read_bytes()
        after = mutate(before, chance)
        path.write_bytes(after)
        if after != before and not is_found(dest / name):
            assert is_harmless(before, after), (path, mutate, before, after)
        path.write_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", [LISTED, FOLDERS])
def test_a_reject_more_less_or_of_another_item_is_found(dest: Path, name: str) -> None:
    path = dest / name / "meta/rejects.jsonl"
    (line,) = lines = path.read_bytes().splitlines(keepends=True)
    key = json.loads(line)["key"].encode()
    for content in (b"", line * 2, line.replace(key, b"ant/00.jpg"), line.replace(b"-00000-of", b"-00001-of")):
        path.write_bytes(content)
        assert is_found(dest / name), content
    path.write_bytes(b"".join(lines))


def faults_of(dest: Path) -> str:
    return "\n".join(verify(str(dest), SerialEngine(), SilentProgress()).faults)


def test_items_that_were_rewritten_as_the_program_would(tmp_path: Path) -> None:
    dest = Path(shutil.copytree(GOLDEN / "v1" / FOLDERS, tmp_path / "out"))
    path = next(dest.glob("meta/plan/*-train-*"))
    parquet = pq.ParquetFile(path)
    by_shard = [parquet.read_row_group(group) for group in range(parquet.num_row_groups)]
    sizes = by_shard[0].schema.get_field_index("num_bytes")
    more = pc.add(by_shard[0].column("num_bytes"), 1)
    by_shard[0] = by_shard[0].set_column(sizes, by_shard[0].schema.field(sizes), more)
    path.write_bytes(encode_part(by_shard))
    assert "-*.parquet: the digest of the items is " in faults_of(dest)


def test_a_line_of_rejects_that_is_written_in_another_way(tmp_path: Path) -> None:
    dest = Path(shutil.copytree(GOLDEN / "v1" / FOLDERS, tmp_path / "out"))
    path = dest / "meta/rejects.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"reason":', b'"reason": '))
    assert "meta/rejects.jsonl: line 1: is not the line that is written of what it says" in faults_of(dest)
