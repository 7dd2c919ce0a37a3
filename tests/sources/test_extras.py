"""Extra columns of every plain type, from a Parquet listing to the shards and the tables of records of a data set."""

import datetime
import io
import math
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from packer.formats.registry import get_format
from packer.options import PackOptions
from packer.pipeline import pack as run_pack
from tests.sources.listings import write_parquet
from tests.sources.packed import write_tar, write_zip

NUM_IMAGES = 6
UTC = datetime.UTC
MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15, 250_000)
CASES = {
    "bool": (pa.array([True, False, None] * 2), [1, 0, None] * 2),
    **{
        f"{kind}": (pa.array([0, 7, 2**bits - 1] * 2, kind), [0, 7, 2**bits - 1] * 2)
        for kind, bits in (
            *((pa.int8(), 7), (pa.int16(), 15), (pa.int32(), 31), (pa.int64(), 63)),
            *((pa.uint8(), 8), (pa.uint16(), 16), (pa.uint32(), 32), (pa.uint64(), 63)),
        )
    },
    "negative": (pa.array([-(2**63), -1, None] * 2), [-(2**63), -1, None] * 2),
    "float16": (pa.array([0.5, -2.0, None] * 2, pa.float16()), [0.5, -2.0, None] * 2),
    "float32": (pa.array([0.5, -2.25, None] * 2, pa.float32()), [0.5, -2.25, None] * 2),
    "float64": (pa.array([0.1, 3e38, -math.inf] * 2), [0.1, 3e38, -math.inf] * 2),
    "decimal": (pa.array([Decimal("1.50"), Decimal("-2.25"), None] * 2), [1.5, -2.25, None] * 2),
    "string": (pa.array(["ä", "", None] * 2), ["ä", "", None] * 2),
    "large_string": (pa.array(["x", "日本", "b"] * 2, pa.large_string()), ["x", "日本", "b"] * 2),
    "binary": (pa.array([b"\xff\x00", b"\xfe", None] * 2), [b"\xff\x00", b"\xfe", None] * 2),
    "fixed_binary": (
        pa.array([b"\xff\x00", b"\xfe\x01", None] * 2, pa.binary(2)),
        [b"\xff\x00", b"\xfe\x01", None] * 2,
    ),
    "date": (pa.array([MOMENT.date(), None, MOMENT.date()] * 2), ["2024-02-29", None, "2024-02-29"] * 2),
    "time": (pa.array([MOMENT.time()] * 6), ["12:30:15.250000"] * 6),
    "timestamp": (pa.array([MOMENT] * 6, pa.timestamp("us")), ["2024-02-29 12:30:15.250000"] * 6),
    "zoned": (pa.array([MOMENT.replace(tzinfo=UTC)] * 6, pa.timestamp("ms", "UTC")), ["2024-02-29 12:30:15.250Z"] * 6),
    "duration": (pa.array([datetime.timedelta(seconds=90)] * 6, pa.duration("s")), ["90"] * 6),
    "ints": (pa.array([[1, 2], [3, 4], None] * 2, pa.list_(pa.int16())), [(1, 2), (3, 4), None] * 2),
    "floats": (pa.array([[0.5, 2], [1, -1]] * 3, pa.list_(pa.float32(), 2)), [(0.5, 2.0), (1.0, -1.0)] * 3),
    "texts": (pa.array([["a", "b"], ["c", "d"]] * 3), [("a", "b"), ("c", "d")] * 3),
    "flags": (pa.array([[True, False]] * 6), [(1, 0)] * 6),
    "dates": (pa.array([[MOMENT.date()] * 2] * 6), [("2024-02-29",) * 2] * 6),
    "category": (pa.array(["x", "y", None] * 2).dictionary_encode(), ["x", "y", None] * 2),
    "codes": (pa.array([5, 9, None] * 2).dictionary_encode(), [5, 9, None] * 2),
    "categories": (
        pa.ListArray.from_arrays(range(0, 13, 2), pa.array(["x", "y"] * 6).dictionary_encode()),
        [("x", "y")] * 6,
    ),
    "nothing": (pa.nulls(6), [None] * 6),
    "record": (pa.array([{"b": 1, "a": [2.5, None]}, None] * 3), ['{"a":[2.5,null],"b":1}', None] * 3),
    "blobs": (pa.array([[b"\xff"], None] * 3), ['["/w=="]', None] * 3),
    "map": (pa.array([[("k", 1)]] * 6, pa.map_(pa.string(), pa.int64())), ['[["k",1]]'] * 6),
    "grid": (pa.array([[[1, 2], [3]]] * 6), ["[[1,2],[3]]"] * 6),
    "stamped": (
        pa.array([{"at": MOMENT, "price": Decimal("1.50")}] * 6),
        ['{"at":"2024-02-29T12:30:15.250000","price":"1.50"}'] * 6,
    ),
}


def jpeg(shade):
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (shade, shade, 90)).save(stream, "JPEG")
    return stream.getvalue()


def pack(source, dest, **options):
    run_pack(PackOptions(source=str(source), dest=str(dest), resize="8", workers=1, **options))


def samples(dest):
    """Return the samples of a data set by key."""
    container = get_format("tfrecord")
    found = {}
    for shard in sorted(Path(dest).glob("train/*")):
        for record in container.iter_buffer(memoryview(shard.read_bytes()), name=shard.name):
            sample = container.decode_sample(record.payload)
            found[sample.key] = sample
    return found


def records(dest):
    (path,) = Path(dest).glob("meta/records/train/*")
    return {row["key"]: row for row in pq.read_table(path).to_pylist()}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A data set with every extra column of CASES."""
    folder = tmp_path_factory.mktemp("extras")
    keys = [f"{index}.jpg" for index in range(NUM_IMAGES)]
    for index, key in enumerate(keys):
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / key).write_bytes(jpeg(index * 30))
    columns = {f"x_{name}": column for name, (column, _) in CASES.items()}
    source = write_parquet(folder / "images", path=keys, **columns)
    pack(source, folder / "dest")
    return samples(folder / "dest"), records(folder / "dest")


@pytest.mark.parametrize("name", CASES)
def test_extras_come_back(data_set, name):
    _, expected = CASES[name]
    in_shards, in_records = data_set
    for index, value in enumerate(expected):
        found = in_shards[f"{index}.jpg"].extras.get(f"x_{name}")
        assert found == (_float32(value) if isinstance(value, float) else value), index
        assert type(found) is type(value)
        stored = in_records[f"{index}.jpg"][f"x_{name}"]
        assert stored == (list(value) if isinstance(value, tuple) else value)


def _float32(value):
    return pa.scalar(value, pa.float64()).cast(pa.float32()).as_py()


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_members_of_archives_are_packed(tmp_path, write):
    images = {f"{name}/{index}.jpg": jpeg(index * 40) for index in range(3) for name in ("cat", "dog")}
    pack(write(tmp_path, images), tmp_path / "dest")
    found = samples(tmp_path / "dest")
    assert len(found) == 6
    assert {(sample.key.split("/")[1], sample.label, sample.class_text) for sample in found.values()} == {
        ("cat", 0, "cat"),
        ("dog", 1, "dog"),
    }


@pytest.mark.slow
def test_vectors_and_class_maps_are_packed(tmp_path):
    (tmp_path / "tree/cat").mkdir(parents=True)
    (tmp_path / "tree/cat/1.jpg").write_bytes(jpeg(9))
    (tmp_path / "map.json").write_text('{"cat": 5}')
    pack(tmp_path / "tree", tmp_path / "dest", class_map=str(tmp_path / "map.json"))
    (sample,) = samples(tmp_path / "dest").values()
    assert (sample.label, sample.class_text) == (5, "cat")
    (tmp_path / "tree/list.csv").write_text("path,x,y\ncat/1.jpg,1.5,2\n")
    pack(tmp_path / "tree/list.csv", tmp_path / "more", label_column="x,y")
    (sample,) = samples(tmp_path / "more").values()
    assert sample.label == (1.5, 2.0)
