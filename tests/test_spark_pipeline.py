"""Packing on a Spark cluster of two executors gives the files of any other run, whatever happens to its tasks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

pytest.importorskip("pyspark")

from packer.clusterplan import item_buckets
from packer.engines.engine import Engine, Task, Tick
from packer.engines.local_engine import LocalEngine
from packer.engines.spark_engine import SparkEngine
from packer.errors import DataSetError, PackerError, SourceError, TooManyRejectsError
from packer.pipeline import pack
from packer.specs import FormatName
from tests.engines import spark_tasks
from tests.tools.datasets import FORMATS, SerialEngine, digests, list_keys, make_options, write_images, write_listing
from tests.tools.spark_sessions import spark_session

pytestmark = [pytest.mark.spark, pytest.mark.slow]
SPLITS = {"split": "train=0.8,val=0.2", "stratify": True, "allow_fill": True}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with spark_session("local-cluster[2,1,1024]"):
        yield SparkEngine()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="module")
def expected(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[FormatName, dict[str, str]]:
    """What the local engine makes, by format."""
    folder = tmp_path_factory.mktemp("local")
    found = {}
    with LocalEngine(2) as engine:
        for name in FORMATS:
            pack(make_options(images, folder / name, format=name, **SPLITS), engine=engine)
            found[name] = digests(folder / name)
    return found


class LosingEngine:
    """Loses the first attempt of every second task after all of its work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, function: Task, context: Any, tasks: Sequence[int], tick: Tick) -> Iterator[Any]:
        outcomes = list(self._engine.run(spark_tasks.fail_even_tasks_once, (function, context), tasks, tick))
        assert {attempt for attempt, _ in outcomes} == ({0, 1} if len(tasks) > 1 else {1})  # the encoder is one task
        yield from (result for _, result in outcomes)

    def close(self) -> None:
        return


class TwiceEngine:
    """Has every task done by both executors at the same time, as speculative execution may."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, function: Task, context: Any, tasks: Sequence[int], tick: Tick) -> Iterator[Any]:
        pairs = [task for task in tasks for _ in range(2)]
        results: dict[int, Any] = {}
        for task, result in self._engine.run(spark_tasks.numbered, (function, context), pairs, tick):
            assert results.setdefault(task, result) == result
        yield from results.values()

    def close(self) -> None:
        return


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("wrap", [lambda engine: engine, LosingEngine, TwiceEngine], ids=["plain", "lost", "twice"])
def test_same_bytes(wrap: Any, format_name: FormatName, cluster: Engine, images: Path, expected: Any, tmp_path: Path):
    result = pack(make_options(images, tmp_path / "out", format=format_name, **SPLITS), engine=wrap(cluster))
    assert digests(tmp_path / "out") == expected[format_name]
    assert result.num_reused == 0


@pytest.mark.parametrize(
    "options", [{}, {"dedupe": True, "on_conflict": "first"}, {"dedupe": True, "on_conflict": "drop"}]
)
def test_copies_are_listed_and_left_out_alike(options: dict, cluster: Engine, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 48)
    shutil.copy(images / "c1/0001.jpg", images / "c0/other.jpg")
    shutil.copy(images / "c2/0002.jpg", images / "c2/again.jpg")
    settings = {"split": "train=0.5,val=0.5", "allow_fill": True, **options}
    pack(make_options(images, tmp_path / "spark", **settings), engine=cluster)
    with LocalEngine(2) as engine:
        pack(make_options(images, tmp_path / "local", **settings), engine=engine)
    found = digests(tmp_path / "spark")
    assert found == digests(tmp_path / "local")
    assert "meta/duplicates.parquet" in found


PLANS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dealt by class": {"stratify": True},
    "groups": {"group_column": "owner"},
    "kept": {"encode": "keep", "resize": None},
    "dedupe": {"dedupe": True, "on_conflict": "drop", "stratify": True},
    "limit": {"limit": 30, "stratify": True},
}


@pytest.fixture(scope="module")
def listing(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listing") / "rows.parquet"
    keys = sorted(str(image) for image in images.glob("*/*"))
    shutil.copy(keys[0], images.parent / "copy.jpg")
    keys.append(str(images.parent / "copy.jpg"))
    owners = [f"owner {number * 7 % 25}" for number in range(len(keys))]
    pq.write_table(pa.table({"path": keys, "label": [n % 3 for n in range(len(keys))], "owner": owners}), path)
    return path


@pytest.mark.parametrize("name", PLANS)
def test_plans_of_listings_have_the_same_bytes(
    name: str, cluster: Engine, listing: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_buckets, "ITEMS_PER_BUCKET", 16)
    options = {"split": "train=0.6,val=0.4", "allow_fill": True, "root": str(images.parent), **PLANS[name]}
    pack(make_options(listing, tmp_path / "spark", **options), engine=cluster)
    pack(make_options(listing, tmp_path / "local", **options), engine=SerialEngine())
    assert digests(tmp_path / "spark") == digests(tmp_path / "local")


def test_tables_of_spark(cluster: Engine, images: Path, tmp_path: Path) -> None:
    """A view with paths, and one with the images themselves in its rows, give the shards of files."""
    pytest.importorskip("pandas")
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    paths = sorted(images.glob("*/*"))
    files = [(f"file:{path}", path.read_bytes(), int(path.parent.name[1])) for path in paths]
    frame = session.createDataFrame(files, "path string, image binary, label long").repartition(3)
    frame.drop("image").createOrReplaceTempView("paths")
    options = {"root": str(images), "allow_fill": True, "split": "train=0.6,val=0.4"}
    pack(make_options(Path("table:paths"), tmp_path / "paths", **options), engine=cluster)
    pack(make_options(Path("table:given"), tmp_path / "rows", **options), engine=cluster, dataframe=frame)
    listing = write_listing(tmp_path / "rows.csv", images)
    pack(make_options(listing, tmp_path / "local", **options), engine=SerialEngine())
    expected = digests(tmp_path / "local")
    assert {key for key, value in digests(tmp_path / "paths").items() if expected.get(key) != value} == {
        "meta/plan.json"  # says what the source was
    }
    rows = digests(tmp_path / "rows")
    for key in expected:
        assert rows[key] == expected[key] or key.startswith("meta/plan")
    with pytest.raises(SourceError, match=r"^table:none: expected a table or view that Spark knows: .*none"):
        pack(make_options(Path("table:none"), tmp_path / "none"), engine=cluster)


def test_a_trial_of_a_table_with_fields(
    cluster: Engine, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view has the plan and the records of a Parquet listing of the same rows that is packed here."""
    pytest.importorskip("pandas")
    from pyspark.sql import SparkSession

    monkeypatch.setattr(item_buckets, "ITEMS_PER_BUCKET", 16)
    (images.parent / "masks").mkdir()
    rows = []
    for number, path in enumerate(sorted(images.glob("*/*"))):
        mask = images.parent / f"masks/{number}.png"
        Image.new("L", Image.open(path).size, number % 5).save(mask)
        boxes, kinds = [[1.0, 2.0, 3.0 + number % 4, 9.0]] * (number % 3), ["ab"[number // 40]] * (number % 3)
        rows.append((f"file:{path}", number % 3, boxes, kinds, f"file:{mask}", f"picture {number}"))
    names = ("path", "label", "corners", "kinds", "seg", "words")
    schema = "path string, label long, corners array<array<double>>, kinds array<string>, seg string, words string"
    frame = SparkSession.builder.getOrCreate().createDataFrame(rows, schema).repartition(3)
    frame.createOrReplaceTempView("annotated")
    listing = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), listing)
    fields = ["object=boxes:corners+kinds", "mask=mask:seg", "caption=text:words"]
    options = {"root": str(images.parent), "limit": 40, "field": fields, **SPLITS}
    pack(make_options(Path("table:annotated"), tmp_path / "table", **options), engine=cluster)
    pack(make_options(Path("table:given"), tmp_path / "frame", **options), engine=cluster, dataframe=frame)
    pack(make_options(listing, tmp_path / "local", **options), engine=SerialEngine())
    expected = digests(tmp_path / "local")
    for dest in ("table", "frame"):
        found = digests(tmp_path / dest)
        assert {key for key in found.keys() | expected if expected.get(key) != found.get(key)} == {"meta/plan.json"}


def test_too_many_rejects_end_the_run(cluster: Engine, tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 600)
    for path in sorted(source.glob("c1/*"))[:60]:
        path.write_bytes(b"no image")
    options = make_options(source, tmp_path / "out", gpus=60, max_rejects=0.05)
    with pytest.raises(TooManyRejectsError, match="`max_rejects`"):
        pack(options, engine=cluster)
    assert "manifest.json" not in list_keys(tmp_path / "out")


def test_errors_of_tasks_come_as_they_are(cluster: Engine, tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 60)
    (source / "c0/broken.jpg").write_bytes(b"no image")
    dest = tmp_path / "out"
    with pytest.raises(PackerError, match=r"broken\.jpg: not_an_image: .* \(`on_reject=fail`\)$"):
        pack(make_options(source, dest, on_reject="fail", allow_fill=True), engine=cluster)
    (source / "c0/broken.jpg").unlink()
    pack(make_options(source, dest, part="0/2"), engine=cluster)
    (plan,) = (dest / "meta/plan").iterdir()
    plan.write_bytes(plan.read_bytes()[:-20])
    with pytest.raises(DataSetError, match=r"the plan's items cannot be read .* start anew with `overwrite=True`$"):
        pack(make_options(source, dest, part="1/2"), engine=cluster)
