"""Items as tasks have them, from the plan's columns."""

from pathlib import Path
from typing import Any

import msgspec

from packer.packing.sample import RowNames, item_rows
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images


def test_classes_without_a_name_have_an_empty_one() -> None:
    columns: dict[str, list[Any]] = {"key": list("abcd"), "num_bytes": [1] * 4, "label": [0, 1, 2, 7]}
    rows = item_rows(columns, RowNames((), ("cat", "", "dog")))
    assert [row.class_text for row in rows] == ["cat", "", "dog", ""]
    assert [row.label for row in rows] == [0, 1, 2, 7]
    assert [row.class_text for row in item_rows(columns, RowNames(()))] == [""] * 4


def test_a_manifest_that_names_only_its_first_classes(tmp_path: Path) -> None:
    """Ground Truth names classes row by row, and rows may come without."""
    source = write_images(tmp_path / "source", 40)
    keys = sorted(str(path.relative_to(source)) for path in source.glob("*/*"))
    rows = [
        {"source-ref": key, "animal": int(key[1]), "animal-metadata": {"class-name": "cat" if key[1] == "0" else None}}
        for key in keys
    ]
    listing = source / "output.manifest"
    listing.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    pack_small(listing, tmp_path / "out", label_column="animal")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.num_classes == 3
    labels = msgspec.json.decode((tmp_path / "out/meta/labels.json").read_bytes())
    assert (labels["num_classes"], labels["names"]) == (3, {"0": "cat"})
    packed = [row for shard in manifest.splits["train"].shards for row in read_records(tmp_path / "out", shard.key)]
    assert {row["key"]: row["label"] for row in packed} == {key: int(key[1]) for key in keys}
