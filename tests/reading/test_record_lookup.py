from pathlib import Path

import pytest

from packer.errors import OptionsError
from packer.formats.registry import get_format
from packer.reading.dataset import open_dataset
from packer.reading.record_lookup import find_record
from tests.tools.datasets import FORMATS, pack_small, read_manifest, read_records, write_images


@pytest.fixture(scope="module", params=FORMATS)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lookup")
    source = write_images(folder / "photos", 24)
    pack_small(source, folder / "set", format=request.param, gpus=2, split="train=0.5,val=0.5", allow_fill=True)
    return folder / "set"


def test_each_record_is_found_by_number_and_each_item_by_key(packed: Path) -> None:
    dataset = open_dataset(str(packed))
    for split, entry in read_manifest(packed).splits.items():
        rows = [(shard.key, row) for shard in entry.shards for row in read_records(packed, shard.key)]
        for number, (shard, row) in enumerate(rows):
            found = find_record(dataset, str(number), split=split)
            assert (found.shard, found.row) == (shard, row)
            assert found.sample.key in ("", row["key"])
            assert found.sample.label == (row["label"] if get_format(dataset.manifest.format).is_streamed else None)
            data = (packed / shard).read_bytes()[found.offset_bytes : found.offset_bytes + found.num_bytes]
            assert found.sample.encoded in data
            assert find_record(dataset, row["key"]).row["source_sha256"] == row["source_sha256"]


def test_what_is_not_there_is_named_with_what_is(packed: Path) -> None:
    dataset = open_dataset(str(packed))
    with pytest.raises(OptionsError, match=r"c9/none\.jpg: expected the key of a record in train, val, or a number"):
        find_record(dataset, "c9/none.jpg")
    with pytest.raises(OptionsError, match="a number from 0 to 11 of val"):
        find_record(dataset, "12", split="val")
