from pathlib import Path

import pytest

from packer.errors import OptionsError
from packer.options import parse_options
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images


def write_split_listing(folder: Path, splits: list[str | None]) -> Path:
    images = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    rows = [f"{image},{split or ''}" for image, split in zip(images, splits * len(images), strict=False)]
    path = folder / "listing.csv"
    path.write_text("path,subset\n" + "\n".join(rows) + "\n")
    return path


def test_rows_go_to_the_split_that_they_name(tmp_path: Path) -> None:
    listing = write_split_listing(write_images(tmp_path / "source", 96), ["train", "train", "train", "test"])
    pack_small(listing, tmp_path / "data", split_column="subset")
    manifest = read_manifest(tmp_path / "data")
    assert {name: split.num_records for name, split in manifest.splits.items()} == {"test": 24, "train": 72}
    for name, split in manifest.splits.items():
        assert {row["subset"] for shard in split.shards for row in read_records(tmp_path / "data", shard.key)} == {name}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", None], r"`split_column`: expected a split in each row of 'subset', 48 have none"),
        (["train", "Val 1"], r"`split_column`: expected names of splits of 1 to 32 lower-case .*, got 'Val 1'"),
        (["train", "meta"], r"not 'meta', got 'meta'"),
    ],
)
def test_refusals(tmp_path: Path, splits: list[str | None], message: str) -> None:
    listing = write_split_listing(write_images(tmp_path / "source", 96), splits)
    with pytest.raises(OptionsError, match=message):
        pack_small(listing, tmp_path / "data", split_column="subset")
    assert not (tmp_path / "data").exists()


def test_not_beside_shares() -> None:
    with pytest.raises(OptionsError, match="`split_column`: expected without `split`"):
        parse_options({"source": "s", "dest": "d", "split": "train=0.5,val=0.5", "split_column": "subset"})
