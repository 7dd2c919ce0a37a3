"""Images in the rows of a table are packed as the same images in files are, wherever the rows come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from packer.clusterplan import staged_rows
from packer.clusterplan.row_images import find_image_column
from packer.errors import OptionsError, SourceError
from packer.pipeline import pack
from packer.sources.items import SourceSpec
from tests.tools.datasets import SerialEngine, digests, list_keys, make_options, write_images, write_listing
from tests.tools.serial_exchange import SerialExchange

NUM_PARTITIONS = 3


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", 60)


@pytest.fixture(autouse=True)
def _take_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an Arrow table for a DataFrame, in some partitions."""

    def take_frame(frame: pa.Table, take: Any) -> list[Any]:
        rows = -(-frame.num_rows // NUM_PARTITIONS)
        parts = [frame.slice(number * rows, rows).to_batches(7) for number in range(NUM_PARTITIONS)]
        return [take(f"{number:05d}-0", iter(part)) for number, part in enumerate(parts)]

    monkeypatch.setattr(staged_rows, "take_frame", take_frame)


def rows_of(images: Path) -> Iterator[dict[str, Any]]:
    paths = sorted(images.glob("*/*"))
    for number, path in enumerate(paths):
        key = str(path.relative_to(images))
        yield {"image": path.read_bytes(), "key": key, "label": int(key[1]), "number": number}


def table_of(images: Path, kind: str) -> pa.Table:
    rows = list(rows_of(images))
    if kind == "structs":
        rows = [{"picture": {"bytes": row["image"], "path": row["key"]}, "label": row["label"]} for row in rows]
    elif kind == "binaryFile":
        rows = [
            {"path": f"file:{images}/{row['key']}", "modificationTime": 1, "length": 2, "content": row["image"]}
            for row in rows
        ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("kind", ["bytes", "structs", "binaryFile"])
def test_the_shards_of_files(kind: str, images: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"allow_fill": True, "split": "train=0.8,val=0.2", "dedupe": kind == "bytes"}
    if kind == "binaryFile":
        expected = make_options(images, tmp_path / "files", flat=True, **options)
        options["root"] = str(images)
    else:
        listing = write_listing(tmp_path / "rows.csv", images)
        expected = make_options(listing, tmp_path / "files", root=str(images), **options)
    pack(expected, engine=SerialEngine())
    asked = make_options(Path("table:photos"), tmp_path / "rows", **options)
    pack(asked, engine=SerialExchange(), dataframe=table_of(images, kind))
    shards = {key: value for key, value in digests(tmp_path / "files").items() if key.startswith(("train/", "val/"))}
    found = digests(tmp_path / "rows")
    if kind == "bytes":  # has a further column
        assert set(shards) <= set(found)
    else:
        assert {key: found[key] for key in shards} == shards
    assert not [key for key in list_keys(tmp_path / "rows") if "staging" in key or "rows-" in key]


def test_the_order_of_rows_is_nothing(images: Path, tmp_path: Path) -> None:
    table = table_of(images, "bytes")
    for name, rows in (("one", table), ("other", table.take(pa.array(range(59, -1, -1))))):
        options = make_options(Path("table:photos"), tmp_path / name, allow_fill=True)
        pack(options, engine=SerialExchange(), dataframe=rows)
    one, other = digests(tmp_path / "one"), digests(tmp_path / "other")
    assert one["manifest.json"] == other["manifest.json"]
    assert {key for key in one if one[key] != other[key]} <= {
        key for key in one if key.startswith(("meta/plan/", "meta/plan.json"))
    }


def test_an_interrupted_run_goes_on(images: Path, tmp_path: Path) -> None:
    table, dest = table_of(images, "bytes"), tmp_path / "out"
    pack(
        make_options(Path("table:photos"), tmp_path / "whole", allow_fill=True),
        engine=SerialExchange(),
        dataframe=table,
    )

    class Stopping(SerialExchange):
        def run(self, function: Any, context: Any, tasks: Any, tick: Any) -> Iterator[Any]:
            for result in super().run(function, context, tasks, tick):
                yield result
                if function.__name__ == "pack_shard":
                    raise KeyboardInterrupt

    for overwrite in (False, True):  # as replaced by another run, too
        options = make_options(Path("table:photos"), dest, allow_fill=True, overwrite=overwrite)
        with pytest.raises(KeyboardInterrupt):
            pack(options, engine=Stopping(), dataframe=table)
    result = pack(make_options(Path("table:photos"), dest, allow_fill=True, resume=True), engine=SerialExchange())
    assert result.num_reused == 1
    assert digests(dest)["manifest.json"] == digests(tmp_path / "whole")["manifest.json"]
    assert not [key for key in list_keys(dest) if "rows-" in key]


def test_parts_would_move_each_image_again(images: Path, tmp_path: Path) -> None:
    options = make_options(Path("table:photos"), tmp_path / "out", part="0/2", allow_fill=True)
    with pytest.raises(OptionsError, match="`part`: expected none"):
        pack(options, engine=SerialExchange(), dataframe=table_of(images, "bytes"))
    assert list_keys(tmp_path / "out") in ([], ["."])


def test_the_local_engine_has_no_tables(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="with `engine=spark` alone"):
        pack(make_options(Path("table:photos"), tmp_path / "out"), engine=SerialEngine())


def test_a_run_that_cannot_plan_leaves_nothing(images: Path, tmp_path: Path) -> None:
    options = make_options(Path("table:photos"), tmp_path / "out", gpus=50)
    with pytest.raises(SourceError, match="expected"):
        pack(options, engine=SerialExchange(), dataframe=table_of(images, "bytes").slice(0, 0))
    assert list_keys(tmp_path / "out") in ([], ["."])


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"path": pa.string(), "label": pa.int64()}, None),
        ({"path": pa.string(), "mask": pa.binary()}, None),
        ({"path": pa.string(), "image": pa.binary()}, "image"),
        ({"picture": STRUCT}, "picture"),
        ({"content": pa.binary(), "path": pa.string(), "length": pa.int64()}, "content"),
    ],
)
def test_the_column_of_images(columns: dict[str, pa.DataType], found: str | None) -> None:
    column = find_image_column(pa.schema(list(columns.items())), SourceSpec(source="table:x"))
    assert (column.name if column else None) == found


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"image": pa.binary(), "label": pa.int64()}, "expected a path or another unique name in each row"),
        ({"image": pa.binary(), "png": pa.binary(), "path": pa.string()}, "the columns 'image', 'png' hold images"),
    ],
)
def test_tables_whose_images_cannot_be_told(columns: dict[str, pa.DataType], problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        find_image_column(pa.schema(list(columns.items())), SourceSpec(source="table:x"))


def test_near_duplicates_of_a_table_are_not_sought(images: Path, tmp_path: Path) -> None:
    options = make_options(Path("table:photos"), tmp_path / "out", near_duplicates=True, allow_fill=True)
    with pytest.raises(OptionsError, match="`near_duplicates`: expected none for a table of Spark"):
        pack(options, engine=SerialExchange(), dataframe=table_of(images, "bytes"))


def test_masks_beside_images_in_rows_are_refused(images: Path, tmp_path: Path) -> None:
    options = make_options(Path("table:photos"), tmp_path / "out", field=["seg=mask:mask"], allow_fill=True)
    rows = [{**row, "mask": row["key"]} for row in rows_of(images)]
    with pytest.raises(SourceError, match="`field`: .*expected no masks .* beside images in the rows .* 'mask'"):
        pack(options, engine=SerialExchange(), dataframe=pa.Table.from_pylist(rows))


def test_a_trial_with_boxes_of_images_in_rows(images: Path, tmp_path: Path) -> None:
    """Parts of the rows know some of the boxes' classes each, and the limit cuts buckets."""
    rows = [
        {
            **row,
            "boxes": [[1.0, 2.0, 3.0 + number % 4, 9.0]] * (number % 3),
            "kinds": ["ab"[number // 40]] * (number % 3),
        }
        for number, row in enumerate(rows_of(images))
    ]
    options: dict[str, Any] = {"field": ["object=boxes:boxes+kinds"], "limit": 25, "allow_fill": True}
    listing = tmp_path / "rows.jsonl"
    listing.write_text(
        "\n".join(json.dumps({key: value for key, value in row.items() if key != "image"}) for row in rows)
    )
    pack(make_options(listing, tmp_path / "files", root=str(images), **options), engine=SerialEngine())
    asked = make_options(Path("table:photos"), tmp_path / "rows", **options)
    pack(asked, engine=SerialExchange(), dataframe=pa.Table.from_pylist(rows))
    files, found = digests(tmp_path / "files"), digests(tmp_path / "rows")
    assert {key for key in files if files[key] != found[key]} <= {
        key for key in files if key.startswith(("meta/plan/", "meta/plan.json"))
    }


def test_paths_start_where_those_of_masks_do_too(images: Path, tmp_path: Path) -> None:
    paths = sorted(images.glob("*/*"))
    (tmp_path / "masks").mkdir()
    for number, path in enumerate(paths):
        Image.new("L", Image.open(path).size, number).save(tmp_path / f"masks/{number}.png")
    rows = [{"path": f"file:{path}", "seg": f"file:{tmp_path}/masks/{n}.png"} for n, path in enumerate(paths)]
    options: dict[str, Any] = {"field": ["mask=mask:seg"], "allow_fill": True}
    asked = make_options(Path("table:photos"), tmp_path / "table", **options)
    pack(asked, engine=SerialExchange(), dataframe=pa.Table.from_pylist(rows))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pack(make_options(tmp_path / "rows.jsonl", tmp_path / "local", **options), engine=SerialEngine())
    found, expected = digests(tmp_path / "table"), digests(tmp_path / "local")
    assert {key for key, value in found.items() if expected.get(key) != value} == {"meta/plan.json"}


def test_a_dataframe_beside_another_source_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="`source`: expected `table:` and a name beside a DataFrame"):
        pack(make_options(images, tmp_path / "out"), engine=SerialExchange(), dataframe=table_of(images, "bytes"))
