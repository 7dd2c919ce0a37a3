"""Reading a data set, and training on one, straight from a bucket."""

import itertools
from pathlib import Path
from typing import cast

import msgspec
import pytest
from typer.testing import CliRunner

from packer.loading.loader import Loader
from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.stores.s3 import S3Store
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.stores.conftest import Bucket
from tests.stores.test_pack_buckets import upload


def write_set(folder: Path) -> Path:
    samples = make_samples(40, num_classes=4)
    make_dataset(folder, {"train": deal(samples[:32], 4), "val": deal(samples[32:], 2)})
    return folder


def test_samples_come_as_from_a_disk(bucket: Bucket, tmp_path: Path) -> None:
    write_set(tmp_path)
    dataset = open_dataset(upload(bucket, tmp_path, "set"), bucket.options)
    for split in ("train", "val"):
        spec = ReadSpec(rank=1, world=2)
        expected = list(iter_samples(open_dataset(str(tmp_path)), split, spec))
        assert list(iter_samples(dataset, split, spec)) == expected
        assert len(expected) > 0


@pytest.mark.tensorflow
@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_training_from_a_bucket(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    from packer.trainer.cli import app

    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    source = upload(bucket, write_set(tmp_path), "set")
    given = ["--data", source, "--batch-size", "8", "--image-size", "32", "--eval-split", "val"]
    given += ["--metrics", f"s3://{bucket.name}/out/metrics.json", "--endpoint-url", bucket.endpoint]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    metrics = msgspec.json.decode(S3Store(f"s3://{bucket.name}/out", bucket.options).get("metrics.json"))
    assert (metrics["records"], metrics["steps_per_epoch"], metrics["epochs"][0]["evaluation"]["records"]) == (32, 4, 8)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["process", "subprocess"])
def test_batches_from_a_bucket(bucket: Bucket, tmp_path: Path, where: str) -> None:
    """Also after this process has spoken to the bucket itself, which another must not inherit."""
    write_set(tmp_path)
    uri = upload(bucket, tmp_path, "set")
    read = iter_samples(open_dataset(uri, bucket.options), "train", ReadSpec())
    expected = sorted(cast("int", sample.label) for sample in read)
    with Loader(uri, "train", batch_size=8, image_px=16, where=where, threads=2, store=bucket.options) as loader:
        for epoch in range(2):
            batches = list(itertools.islice(loader, loader.steps))
            assert {batch.epoch for batch in batches} == {epoch}
            assert sorted(int(label) for batch in batches for label in batch.labels) == expected
