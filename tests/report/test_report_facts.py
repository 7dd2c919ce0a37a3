import shutil
from pathlib import Path

import pytest

from packer.dataset.load import load_manifest
from packer.dataset.sidefiles import load_places
from packer.errors import NotADataSetError
from packer.formats.registry import get_format
from packer.imaging.thumbnails import make_thumbnail
from packer.report import record_facts
from packer.report.findings import find
from packer.report.page import render_page
from packer.report.record_facts import read_record_facts
from packer.report.report_facts import collect_facts
from packer.specs import DEFAULT_STORE
from packer.stores.open_store import open_store
from tests.tools.datasets import image_bytes, read_records


def test_every_record_is_placed_where_its_shard_has_it(odd_set: Path) -> None:
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    assert not facts.records.is_sampled
    rows = facts.records.table.to_pylist()
    assert len(rows) == sum(split.num_records for split in facts.manifest.splits.values())
    store, container = open_store(str(odd_set)), get_format(facts.manifest.format)
    entries = {shard.key: shard for split in facts.manifest.splits.values() for shard in split.shards}
    for row in rows:
        places = load_places(store, container, row["split"], entries[row["shard"]])
        ((start, size),) = places.spans_of(row["position"])
        assert size == row["num_bytes"]
        sample = container.decode_record((odd_set / row["shard"]).read_bytes()[start : start + size])
        assert (sample.key, str(sample.label)) == (row["key"], row["label_text"])


def test_copies_across_labels_are_found_with_their_keys(odd_set: Path) -> None:
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    (conflict,) = facts.records.conflicts
    assert conflict.keys == ("c0/copy-a.jpg", "c1/<b>copy-b.jpg")
    assert conflict.labels == ("0", "1")
    assert facts.records.num_crossing == (1 if len(conflict.splits) > 1 else 0)


def test_a_cut_reject_is_drawn_as_far_as_it_goes(odd_set: Path) -> None:
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    assert [(reject.key, reject.reason) for reject in facts.rejects] == [("c2/cut.jpg", "truncated")]
    assert (facts.reject_pictures["c2/cut.jpg"].width, facts.reject_pictures["c2/cut.jpg"].height) == (400, 300)


def test_what_a_person_should_know_is_said_once_each(odd_set: Path) -> None:
    found = find(collect_facts(str(odd_set), DEFAULT_STORE))
    texts = " ".join(finding.text for finding in found)
    assert "Pack with --stratify, which deals each class over all splits." in [finding.advice for finding in found]
    assert "more than once with different labels: 1." in texts
    assert "has nothing of 1 class: rare" in texts
    assert "1 image could not be packed: 1 truncated" in texts
    assert "1 image of the 38 images on the contact sheet has one colour only: rare/blank.png" in texts


def test_each_class_of_each_split_has_a_picture(odd_set: Path) -> None:
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    drawn = {(picture.split, picture.label_text) for picture in facts.pictures}
    held = {(name, label) for name, split in facts.manifest.splits.items() for label in split.label_counts}
    assert drawn == held
    assert {facts.class_name(label) for _, label in drawn} == {"c0", "c1", "c2", "rare"}


def test_large_sets_are_sampled_from_every_split(odd_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(odd_set))
    manifest = load_manifest(store)
    monkeypatch.setattr(record_facts, "MAX_RECORDS", 20)
    facts = read_record_facts(store, manifest)
    assert facts.is_sampled
    assert set(facts.table.column("split").to_pylist()) == set(manifest.splits)
    shard = facts.table.column("shard")[0].as_py()
    assert facts.table.num_rows < facts.num_records
    assert len(read_records(odd_set, shard)) == facts.table.column("shard").to_pylist().count(shard)


def test_the_page_of_a_large_set_says_that_it_is_a_sample(odd_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "This data set is large" not in render_page(collect_facts(str(odd_set), DEFAULT_STORE))
    monkeypatch.setattr(record_facts, "MAX_RECORDS", 20)
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    page = " ".join(render_page(facts).split())
    assert f"come from {facts.records.table.num_rows} of its {facts.records.num_records} records, taken from" in page


def test_copies_are_those_of_the_whole_set_however_few_records_are_read(
    odd_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(odd_set))
    manifest = load_manifest(store)
    whole = read_record_facts(store, manifest)
    monkeypatch.setattr(record_facts, "choose_shards", lambda shards, num_records: list(shards)[:1])
    sampled = read_record_facts(store, manifest)
    assert sampled.is_sampled
    assert sampled.conflicts == whole.conflicts != ()
    assert sampled.has_all_copies


def test_a_set_without_a_list_of_copies_tells_of_those_that_were_seen(odd_set: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(odd_set, copy)
    (copy / "meta" / "duplicates.parquet").unlink()
    facts = collect_facts(str(copy), DEFAULT_STORE)
    assert not facts.records.has_all_copies
    assert facts.records.conflicts == collect_facts(str(odd_set), DEFAULT_STORE).records.conflicts
    assert "with different labels of the records that were looked at: 1." in find(facts)[0].text


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADataSetError, match="expected a finished data set"):
        collect_facts(str(tmp_path), DEFAULT_STORE)


@pytest.mark.parametrize("data", [b"", b"no image", image_bytes(1, width=300, height=200)[:-2000]])
def test_what_cannot_be_drawn_is_not_drawn(data: bytes) -> None:
    assert make_thumbnail(data, side_px=100) is None
