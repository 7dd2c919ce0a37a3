"""A plan that is made on workers is, byte for byte, the one that is made of a list of all items."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from packer.clusterplan import cluster_planner, item_buckets
from packer.clusterplan.cluster_planner import ClusterPlan
from packer.clusterplan.staging import StagingArea
from packer.dataset.planfile import PlanDocument, StagedPlan, store_plan
from packer.errors import OptionsError, PackerError, SourceError
from packer.pipeline import pack
from packer.prepare import Workspace, make_plan
from packer.stores.local_store import LocalStore
from tests.tools.datasets import SerialEngine, digests, list_keys, make_options, serial_run, write_images
from tests.tools.serial_exchange import SerialExchange

pytestmark = pytest.mark.slow
SPLITS = {"split": "train=0.6,val=0.25,test=0.15"}
FIELDS = [
    "object=boxes:boxes",
    "pose=points:joints",
    "gaze=points:eyes+seen",
    "mask=mask:seg",
    "other=image:file2",
    "caption=text:words",
]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "seed": {"seed": 7, **SPLITS},
    "splits": SPLITS,
    "stratify": {"stratify": True, **SPLITS},
    "groups": {"group_column": "owner", **SPLITS},
    "groups with nulls, dealt by class": {"group_column": "place", "stratify": True, **SPLITS},
    "numbers as groups": {"group_column": "score", **SPLITS},
    "splits of a column": {"split_column": "part"},
    "splits of a column, dealt by class": {"split_column": "part", "stratify": True},
    "kept": {"encode": "keep", "resize": None, **SPLITS},
    "kept, dealt by class": {"encode": "keep", "resize": None, "stratify": True, **SPLITS},
    "many shards": {"gpus": 20, **SPLITS},
    "dedupe": {"dedupe": True, "on_conflict": "first", **SPLITS},
    "dedupe, conflicts dropped": {"dedupe": True, "on_conflict": "drop", "stratify": True, **SPLITS},
    "recordio": {"format": "recordio", **SPLITS},
    "names": {"label_column": "name", "stratify": True, **SPLITS},
    "vectors": {"label_column": "x,y", **SPLITS},
    "fields": {"field": FIELDS, **SPLITS},
    "fields of recordio": {"field": FIELDS[:1], "format": "recordio", **SPLITS},
    "limit": {"limit": 70, **SPLITS},
    "limit within a bucket": {"limit": 9, "gpus": 1},
    "limit before what does not fit": {"limit": 2, "gpus": 1, "format": "webdataset"},
    "limit above all": {"limit": 1000, **SPLITS},
    "limit, dealt by class": {"limit": 100, "stratify": True, **SPLITS},
    "limit, groups": {"limit": 100, "group_column": "owner", **SPLITS},
    "limit, splits of a column": {"limit": 100, "split_column": "part"},
    "limit, kept": {"limit": 100, "encode": "keep", "resize": None, **SPLITS},
    "limit, dedupe": {"limit": 200, "dedupe": True, "on_conflict": "drop", **SPLITS},
    "limit, fields": {"limit": 100, "field": FIELDS, "stratify": True, **SPLITS},
}


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_buckets, "ITEMS_PER_BUCKET", 24)


def beside(index: int, images: Path, key: str, other: str) -> dict[str, Any]:
    """Return columns of fields, of which a file's rows (a third of all) do not know what the others' say."""
    mask = images / f"masks/{index}.png"
    mask.parent.mkdir(exist_ok=True)
    Image.new("L", Image.open(images / key).size, index % 9).save(mask)
    part = index % 3
    boxes = [
        {"bbox": [1, 2, 3 + number, 9.5], "category": number if part else f"c{number}"} for number in range(index % 4)
    ]
    return {
        "boxes": json.dumps(boxes),
        "joints": [[1.0, 2.0]] * (index % 5),
        "eyes": [[3.0, 4.0], [5.0, 6.0]],
        "seen": [index % 2, 2] if part == 2 else [],
        "seg": str(mask),
        "file2": other,
        "words": None if index % 7 == 0 else f"picture {index}",
    }


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of rows with every kind of column; some images are copies, some with another label."""
    folder = tmp_path_factory.mktemp("tables")
    images = write_images(folder / "images", 240)
    keys = sorted(str(path.relative_to(images)) for path in images.glob("*/*"))
    for number in range(0, 40, 2):
        shutil.copy(images / keys[number], images / f"c9{number}.jpg")
        keys.append(f"c9{number}.jpg")
    rows = [
        {
            "path": str(images / key) if index % 2 else f"file:{images / key}",
            "label": index % 3 if index < 240 else (index - 240) * 2 % 3 + index % 2,
            "name": f"class {index % 5}",
            "owner": f"owner {index * 7 % 31}",
            "place": None if index % 6 == 0 else f"place {index % 40}",
            "score": [index % 50 / 4, float("nan"), -1.0, None][index % 4],
            "x": float(index % 9) / 2,
            "y": index,
            "part": ["train", "val", "train", "test", "train"][index % 5],
            "tags": [f"t{index % 3}"] * (index % 3),
            **beside(index, images, key, keys[index // 2]),
        }
        for index, key in enumerate(keys)
    ]
    tables = folder / "tables"
    tables.mkdir()
    for number in range(3):
        pq.write_table(pa.Table.from_pylist(rows[number::3]), tables / f"rows-{number}.parquet")
    return tables


def settings(options: dict[str, Any], listing: Path, dest: Path) -> Any:
    root = str(listing.parent / "images")
    return make_options(listing, dest, **{"root": root, "gpus": 2, "allow_fill": True, **options})


def planned_on_workers(options: Any, area: StagingArea) -> tuple[StagedPlan, PlanDocument]:
    run = replace(serial_run(options), engine=SerialExchange())
    plan, document = make_plan(run, Workspace(area=area))
    assert isinstance(plan, ClusterPlan)
    return plan, document


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_files(name: str, listing: Path, tmp_path: Path) -> None:
    local, document = make_plan(serial_run(settings(OPTIONS[name], listing, tmp_path / "local")))
    store_plan(LocalStore(tmp_path / "local"), local)
    with StagingArea() as area:
        plan, found = planned_on_workers(settings(OPTIONS[name], listing, tmp_path / "workers"), area)
        assert found == document
        store_plan(LocalStore(tmp_path / "workers"), plan)
    assert digests(tmp_path / "workers/meta") == digests(tmp_path / "local/meta")
    assert plan.source_bytes == local.source_bytes


def test_a_whole_run_leaves_nothing_else(listing: Path, tmp_path: Path) -> None:
    pack(settings(SPLITS, listing, tmp_path / "local"), engine=SerialEngine())
    pack(settings(SPLITS, listing, tmp_path / "workers"), engine=SerialExchange())
    assert digests(tmp_path / "workers") == digests(tmp_path / "local")


def test_conflicts_fail_alike(listing: Path, tmp_path: Path) -> None:
    options = settings({"dedupe": True}, listing, tmp_path / "out")
    with pytest.raises(SourceError) as local:
        make_plan(serial_run(options))
    with StagingArea() as area, pytest.raises(SourceError) as found:
        planned_on_workers(options, area)
    assert str(found.value) == str(local.value)
    assert list_keys(tmp_path / "out") in ([], ["."])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stratify": True, "label_column": "x,y"}, "expected class labels"),
        ({"group_column": "tags", **SPLITS}, "expected a column with one text, number or byte string"),
        ({"group_column": "none", **SPLITS}, "expected a column of the source"),
        ({"split_column": "score"}, "have none"),
        ({"split_column": "name"}, "expected names of splits"),
        ({"gpus": 500}, "expected at least one item a shard"),
        ({"format": "webdataset"}, "has numbers that are not finite"),
        ({"format": "webdataset", "limit": 100}, "has numbers that are not finite"),
        ({"field": ["mask=mask:none"]}, "no column 'none'"),
        ({"field": ["object=boxes:none"]}, "no column 'none'"),
        ({"field": ["mask=mask:words"]}, "no path in column 'words'"),
        ({"field": FIELDS[3:4], "format": "recordio"}, "expected no masks"),
        ({"root": "/none"}, "is outside it"),
        ({"label_column": "score"}, "no label in column 'score'"),
    ],
)
def test_what_cannot_be_planned_is_told(options: dict[str, Any], problem: str, listing: Path, tmp_path: Path) -> None:
    asked = settings(options, listing, tmp_path / "out")
    with pytest.raises(OptionsError, match=problem):
        make_plan(serial_run(asked))
    with StagingArea() as area, pytest.raises(OptionsError, match=problem):
        planned_on_workers(asked, area)


def test_a_path_in_two_files_is_refused(listing: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    shutil.copytree(listing, tables)
    first = pq.read_table(tables / "rows-0.parquet")
    pq.write_table(first.slice(0, 1), tables / "x.parquet")
    options = make_options(tables, tmp_path / "out", root=str(listing.parent / "images"), allow_fill=True)
    with StagingArea() as area, pytest.raises(SourceError, match="expected each path once, got"):
        planned_on_workers(options, area)


def test_another_arrow_is_refused(listing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pa, "__version__", "1.0")
    monkeypatch.setattr(cluster_planner, "pa", SimpleNamespace(__version__="2.0", field=pa.field, int32=pa.int32))
    with (
        StagingArea() as area,
        pytest.raises(PackerError, match=r"expected 2\.0, found 1\.0; install"),
    ):
        planned_on_workers(settings({}, listing, tmp_path / "out"), area)
