"""Training shards are equal in records whatever is rejected; evaluation sees every item once."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from packer.cli.main import run
from packer.errors import DataSetError, OptionsError, PackerError, SourceError, TooManyRejectsError
from packer.pipeline import pack
from tests.tools.datasets import SerialEngine, list_keys, make_options, pack_small, read_records, write_images

MAX_ITEMS = 90
NUM_CLASSES = 3


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and for each of them a file beside it that is none."""
    folder = write_images(tmp_path_factory.mktemp("pool"), MAX_ITEMS, num_classes=1)
    for path in list(folder.glob("*/*")):
        path.with_suffix(".bad").write_bytes(b"no image, but a file of its own: " + path.name.encode())
    return folder


def write_rows(path: Path, pool: Path, num_items: int, bad: set[int]) -> Path:
    """Write a listing of the first images of the pool; those in `bad` are no images."""
    names = sorted(str(image.relative_to(pool)) for image in pool.glob("*/*") if image.suffix != ".bad")
    rows = [
        f"{Path(names[n]).with_suffix('.bad') if n in bad else names[n]},{n % NUM_CLASSES}" for n in range(num_items)
    ]
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    num_items=st.integers(8, MAX_ITEMS),
    gpus=st.integers(1, 4),
    split=st.sampled_from(["train=1", "train=0.5,val=0.5", "train=0.6,val=0.2,test=0.2", "train=1/3,train-b=2/3"]),
    stratify=st.booleans(),
    bad=st.sets(st.integers(0, MAX_ITEMS - 1), max_size=12),
    format_name=st.sampled_from(["tfrecord", "recordio"]),
)
@example(num_items=9, gpus=4, split="train=0.5,val=0.5", stratify=True, bad=set(), format_name="tfrecord")
def test_whatever_is_packed(
    pool: Path, num_items: int, gpus: int, split: str, stratify: bool, bad: set[int], format_name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bad = {n for n in bad if n < num_items}
        source = write_rows(Path(folder, "list.csv"), pool, num_items, bad)
        options = {"gpus": gpus, "split": split, "stratify": stratify, "format": format_name, "root": str(pool)}
        dest = Path(folder, "out")
        try:
            manifest = pack_small(source, dest, allow_fill=True, max_rejects=1.0, **options).manifest
        except (OptionsError, DataSetError, SourceError) as error:  # too few items, or a shard without a good one
            assert "expected at least one item a shard" in str(error) or "could be packed" in str(error)
            assert not (dest / "manifest.json").exists()
            return
        assert sum(manifest.rejects.values()) == len(bad)
        seen: Counter[str] = Counter()
        for name, entry in manifest.splits.items():
            rows = [read_records(dest, shard.key) for shard in entry.shards]
            seen.update(row["key"] for shard_rows in rows for row in shard_rows if not row["is_fill"])
            check_split(name, rows, rejected=_rejected(dest, name), stratify=stratify)
        assert len(seen) == num_items - len(bad)
        assert set(seen.values()) <= {1}


def _rejected(dest: Path, split: str) -> list[dict]:
    lines = [json.loads(line) for line in (dest / "meta/rejects.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def check_split(name: str, shards: list[list[dict]], *, rejected: list[dict], stratify: bool) -> None:
    """Check the records of one split, shard by shard."""
    num_items = sum(not row["is_fill"] for rows in shards for row in rows) + len(rejected)
    counts = [len(rows) for rows in shards]
    if name.startswith("train"):
        assert set(counts) == {-(-num_items // len(shards))}
    else:
        assert sum(counts) + len(rejected) == num_items
        assert not any(row["is_fill"] for rows in shards for row in rows)
    for rows in shards:
        good = {row["key"]: row for row in rows if not row["is_fill"]}
        for row in rows:
            if row["is_fill"]:
                assert row == {**good[row["key"]], "is_fill": True}
    if stratify and not rejected:
        for label in range(NUM_CLASSES):
            of_class = [sum(row["label"] == label and not row["is_fill"] for row in rows) for rows in shards]
            assert max(of_class) - min(of_class) <= 1


def test_fills_are_of_the_class_of_what_they_stand_in_for(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 60, {4, 11, 30})
    labels = {n: n % NUM_CLASSES for n in (4, 11, 30)}
    options = {"gpus": 2, "stratify": True, "max_rejects": 0.1, "root": str(pool)}
    manifest = pack_small(source, tmp_path / "out", **options).manifest
    fills = [
        row for s in manifest.splits["train"].shards for row in read_records(tmp_path / "out", s.key) if row["is_fill"]
    ]
    assert Counter(row["label"] for row in fills) == Counter(labels.values())
    assert manifest.splits["train"].num_fills == 3
    assert sum(manifest.splits["train"].label_counts.values()) == 57


def test_a_shard_without_a_good_item_fails_the_run(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 8, {1, 2, 3, 4, 5, 6})
    with pytest.raises(DataSetError, match=r"shard train-0000\d-of-00004: none of the shard's items .*not_an_image"):
        pack_small(source, tmp_path / "out", max_rejects=1.0, root=str(pool))
    assert not (tmp_path / "out/manifest.json").exists()


def test_an_evaluation_shard_may_be_left_empty(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 8, {1, 2, 3, 4, 5, 6})
    for format_name in ("tfrecord", "recordio"):
        dest = tmp_path / format_name
        options = {"split": "val=1", "max_rejects": 1.0, "root": str(pool), "format": format_name, "on_reject": "skip"}
        manifest = pack_small(source, dest, **options).manifest
        assert sorted(shard.num_records for shard in manifest.splits["val"].shards)[0] == 0
        assert run(["verify", str(dest), "--decode", "--workers", "1"]) == 0
        assert run(["inspect", str(dest)]) == 0


def test_more_rejects_than_allowed_commit_nothing(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 60, {5, 50})
    with pytest.raises(TooManyRejectsError, match=r"^2 of 60 items were rejected, expected at most 2.00% \(`max_rej"):
        pack_small(source, tmp_path / "out", max_rejects=0.02, root=str(pool))
    assert "manifest.json" not in list_keys(tmp_path / "out")
    pack_small(source, tmp_path / "other", max_rejects=2 / 60, root=str(pool))


def test_every_reject_has_its_line(pool: Path, tmp_path: Path) -> None:
    bad = {3, 14, 40, 41}
    source = write_rows(tmp_path / "list.csv", pool, 60, bad)
    options = {"split": "train=0.5,val=0.5", "max_rejects": 0.1, "root": str(pool), "allow_fill": True}
    manifest = pack_small(source, tmp_path / "out", **options).manifest
    lines = [json.loads(line) for line in (tmp_path / "out/meta/rejects.jsonl").read_text().splitlines()]
    assert sorted(Path(line["key"]).stem for line in lines) == [f"{n:04d}" for n in sorted(bad)]
    assert {line["reason"] for line in lines} == {"not_an_image"}
    assert all(line["shard"].startswith(line["split"] + "-") and line["detail"] for line in lines)
    assert manifest.rejects == {"not_an_image": 4}


def test_on_reject_fail_names_the_item(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 60, {17})
    with pytest.raises(PackerError, match=r"c0/0017\.bad: not_an_image: .*\(`on_reject=fail`\)"):
        pack_small(source, tmp_path / "out", on_reject="fail", max_rejects=1.0, root=str(pool))
    assert not (tmp_path / "out/manifest.json").exists()


def test_planned_fills_above_two_per_cent_are_refused_with_the_numbers(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 61, set())
    with pytest.raises(OptionsError) as caught:
        pack_small(source, tmp_path / "out", root=str(pool))
    assert str(caught.value) == (
        "split 'train': 61 items in 4 equal shards would repeat 3 samples (4.9 %, expected at most 2 %); 60 or 64 "
        "items fit 4 shards, these items fit 2 shards; or accept it with `allow_fill=True`"
    )
    assert not (tmp_path / "out").exists()
    assert pack_small(source, tmp_path / "out", allow_fill=True, root=str(pool)).manifest.splits["train"].num_fills == 3


def test_fewer_items_than_shards(pool: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "list.csv", pool, 20, set())
    with pytest.raises(OptionsError, match=r"split 'train' has 20 items for 32 shards .*or pack for fewer GPUs"):
        pack_small(source, tmp_path / "out", gpus=32, root=str(pool))
    with pytest.raises(OptionsError, match=r"split 'val' has 2 items for 4 shards"):
        pack_small(source, tmp_path / "out", split="train=0.9,val=0.1", allow_fill=True, root=str(pool))


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_a_run_stops_as_soon_as_too_much_is_rejected(pool: Path, tmp_path: Path, order: str) -> None:
    """It does not pack to the end what will never be committed."""
    source = write_rows(tmp_path / "list.csv", pool, 90, set(range(60, 90)))
    engine = CountingEngine(reverse=order == "backwards")
    with pytest.raises((TooManyRejectsError, SourceError)):
        pack(make_options(source, tmp_path / "out", gpus=30, root=str(pool)), engine=engine)
    assert engine.num_tasks < 30


class CountingEngine(SerialEngine):
    def __init__(self, *, reverse: bool) -> None:
        super().__init__(lambda tasks: list(tasks)[:: -1 if reverse else 1])
        self.num_tasks = 0

    def run(self, function, context, tasks, tick):
        for result in super().run(function, context, tasks, tick):
            self.num_tasks += 1
            yield result
