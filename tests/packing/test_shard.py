"""One task, one shard: run again, run twice at once, and run where the encoder is another one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from packer.dataset.destination import claim_destination
from packer.dataset.receipt import load_receipt
from packer.errors import EncoderMismatchError, PackerError
from packer.formats.container import Sample
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.values import EncoderFingerprint
from packer.packing.assemble import OpenShard
from packer.packing.encoder import check_container, in_container
from packer.packing.sample import ItemRow
from packer.packing.shard import PackContext, pack_shard
from packer.prepare import make_plan
from packer.specs import FormatName
from packer.stores.local_store import LocalStore
from tests.tools.datasets import FORMATS, digests, make_options, serial_run


@pytest.fixture(params=FORMATS)
def context(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> PackContext:
    """A claimed destination, and what its tasks are given."""
    dest = tmp_path / "out"
    options = make_options(images, dest, format=request.param)
    plan, document = make_plan(serial_run(options))
    claim_destination(LocalStore(dest), plan, document, overwrite=False)
    return PackContext(
        plan=document,
        dest=str(dest),
        fail_on_reject=False,
        resume=False,
    )


def ignore(num_items: int, num_bytes: int) -> None:
    """A tick that nobody reads."""


def test_the_same_bytes_however_often_it_runs(context: PackContext) -> None:
    dest = Path(context.dest)
    pack_shard(context, 2, ignore)
    first = digests(dest)
    assert any(key.startswith("train/train-00002-of-00004") for key in first)
    pack_shard(context, 2, ignore)
    assert digests(dest) == first
    for key in first:
        if "train-00002" in key:
            (dest / key).unlink()
    pack_shard(context, 2, ignore)
    assert digests(dest) == first


def test_two_attempts_at_the_same_time(context: PackContext) -> None:
    pack_shard(context, 1, ignore)
    expected = digests(Path(context.dest))
    with ThreadPoolExecutor(4) as attempts:
        list(attempts.map(lambda _: pack_shard(context, 1, ignore), range(8)))
    assert digests(Path(context.dest)) == expected


def test_the_receipt_vouches_for_what_is_there(context: PackContext) -> None:
    seen: list[tuple[int, int]] = []
    summary = pack_shard(context, 0, lambda items, size: seen.append((items, size)))
    receipt = load_receipt(LocalStore(context.dest), "train-00000-of-00004", plan_id=context.plan.plan_id)
    assert receipt is not None
    assert (summary.num_records, summary.num_rejects, summary.reused) == (15, 0, False)
    assert summary.num_bytes == receipt.shard.num_bytes == (Path(context.dest) / receipt.shard.key).stat().st_size
    assert sum(items for items, _ in seen) == 15
    assert load_receipt(LocalStore(context.dest), "train-00000-of-00004", plan_id="0" * 64) is None


def test_progress_counts_the_bytes_of_the_source(context: PackContext, images: Path) -> None:
    total = 0

    def count(num_items: int, num_bytes: int) -> None:
        nonlocal total
        total += num_bytes

    for task in range(4):
        pack_shard(context, task, count)
    assert total == sum(path.stat().st_size for path in images.glob("*/*"))


def with_encoder(context: PackContext, encoder: EncoderFingerprint) -> PackContext:
    return msgspec.structs.replace(context, plan=msgspec.structs.replace(context.plan, encoder=encoder))


def another(encoder: EncoderFingerprint, **changes: Any) -> EncoderFingerprint:
    digests = {"sha256": "0" * 64} | ({"images_sha256": "1" * 64} if encoder.images_sha256 else {})
    return msgspec.structs.replace(encoder, **digests, **changes)


def test_a_worker_with_another_release_of_what_writes_shards_refuses(context: PackContext) -> None:
    other = msgspec.structs.replace(context.plan.encoder, made_by="arrow 1.2.3")
    with pytest.raises(EncoderMismatchError, match=r"expected arrow 1\.2\.3, found "):
        pack_shard(with_encoder(context, other), 0, ignore)
    with pytest.raises(EncoderMismatchError, match=r"expected arrow 1\.2\.3, found "):
        check_container(context.plan.header.format, other)


def test_the_fingerprint_of_images_is_the_same_in_all_containers(context: PackContext) -> None:
    encoder = context.plan.encoder
    alone = in_container(encoder, FormatName.TFRECORD)
    assert (alone.made_by, alone.images_sha256) == (msgspec.UNSET, msgspec.UNSET)
    assert in_container(alone, context.plan.header.format) == encoder
    parquet = in_container(alone, FormatName.PARQUET)
    assert parquet.sha256 != alone.sha256 == parquet.images_sha256
    assert parquet.made_by == f"arrow {pa.cpp_version}"


def test_a_worker_with_another_encoder_refuses(context: PackContext) -> None:
    other = another(context.plan.encoder, pillow="9.9.9", machine="vax")
    with pytest.raises(EncoderMismatchError) as caught:
        pack_shard(with_encoder(context, other), 0, ignore)
    assert "expected pillow 9.9.9" in str(caught.value)
    assert "on vax, found pillow " in str(caught.value)
    assert "another release" not in str(caught.value)
    assert not list(Path(context.dest).glob("train/*"))


def test_where_all_versions_are_the_same_another_release_may_have_planned(context: PackContext) -> None:
    with pytest.raises(EncoderMismatchError, match="if another release of shardpack made the plan, go on with that"):
        pack_shard(with_encoder(context, another(context.plan.encoder)), 0, ignore)


def test_decoders_that_a_worker_has_too_few_or_too_many_are_named(context: PackContext) -> None:
    assert "webp" in context.plan.encoder.decoders
    decoders = tuple(name for name in (*context.plan.encoder.decoders, "exr") if name != "webp")
    other = another(context.plan.encoder, decoders=decoders)
    with pytest.raises(EncoderMismatchError, match=r"; this worker's lacks exr; the plan's lacked webp; install the"):
        pack_shard(with_encoder(context, other), 0, ignore)


def test_a_shard_never_passes_128_mb(context: PackContext) -> None:
    """An estimate may be wrong; the limit is not."""
    item = ItemRow(key="k", num_bytes=1, label=0, class_text="", member=None, extras={})
    sample = Sample(key="k", encoded=bytes(50_000_000), image_format="jpeg", label=0, source_sha256="0" * 64)
    shard = OpenShard(context.plan, 3, [item] * 3, pa.schema([]))
    shard.add(0, sample)
    shard.add(1, sample)
    assert 100_000_000 < shard.writer.num_bytes < 128_000_000
    with pytest.raises(PackerError, match=r"shard train-00003-of-00004 passes 128 MB, .* smaller `shard_size`"):
        shard.add(2, sample)


def test_what_does_not_fit_is_not_repeated(context: PackContext) -> None:
    item = ItemRow(key="k", num_bytes=1, label=0, class_text="", member=None, extras={})
    large, small = (
        Sample(key="k", encoded=bytes(size), image_format="jpeg", label=0, source_sha256="0" * 64)
        for size in (70_000_000, 1_000)
    )
    shard = OpenShard(context.plan, 3, [item] * 15, pa.schema([]))
    shard.add(0, large)
    shard.add(1, small)
    for index in range(2, 15):
        shard.reject(index, RejectError(RejectReason.CORRUPT, "damaged"))
    shard.fill()
    assert [row.item_index for row in shard.rows] == [0] + [1] * 14
    num_bytes = sum(row.num_bytes for row in shard.rows)
    assert num_bytes + shard.container.mark_bytes <= shard.writer.num_bytes < 71_000_000
