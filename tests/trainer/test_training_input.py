import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packer.errors import DataSetError, OptionsError
from packer.reading.dataset import open_dataset
from packer.trainer.core.agreement import check_agreement
from packer.trainer.core.collective import SoloCollective
from packer.trainer.core.metrics import EpochResult, EvaluationResult, Metrics, format_epoch, put_metrics
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.recipe import Recipe
from packer.trainer.core.train_options import TrainOptions
from packer.trainer.core.training_input import agree_on_job, load_job, report_job
from packer.trainer.core.world import World
from tests.reading.containers import place_shards, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(12), 4), "val": deal(make_samples(7), 4)}, world=2)
    return tmp_path


def test_steps_come_from_the_manifest(root):
    options = TrainOptions(data=str(root), recipe=Recipe(batch_size=3), eval_split="val")
    job = load_job(options, World(rank=1, local_rank=1, size=2, local_size=2))
    assert (job.num_records, job.steps, job.eval_steps) == (12, 2, 2)
    facts = dict(report_job(job).facts)
    assert facts["the number of ranks"] == "2"
    assert facts["the data set (digest of manifest.json)"] == job.source.manifest.digest


def test_a_missing_shard_is_found_before_the_first_step(root):
    (root / "val/val-00003-of-00004.tfrecord").unlink()
    options = TrainOptions(data=str(root), recipe=Recipe(batch_size=3), eval_split="val")
    for rank in (0, 1):  # any rank may have to read any shard
        with pytest.raises(DataSetError, match=r"val-00003-of-00004.tfrecord: expected a shard"):
            load_job(options, World(rank=rank, local_rank=rank, size=2, local_size=2))


def test_a_rank_that_cannot_start_says_so_to_all(root):
    with pytest.raises(OptionsError, match=r"rank 0 \(.*\) cannot start: batch size: expected 1 to 12"):
        agree_on_job(TrainOptions(data=str(root), recipe=Recipe(batch_size=13)), World(), SoloCollective())
    with pytest.raises(OptionsError, match=r"rank 0 \(.*\) cannot start: .*expected a finished data set"):
        agree_on_job(TrainOptions(data=str(root / "val")), World(), SoloCollective())


def test_labels_must_be_classes(tmp_path):
    make_dataset(tmp_path, {"train": [make_samples(4)]}, label_kind="none")
    with pytest.raises(DataSetError, match="expected class labels to train on, found none"):
        load_job(TrainOptions(data=str(tmp_path), recipe=Recipe(batch_size=1)), World())


def test_without_data_there_must_be_a_job(tmp_path):
    options = TrainOptions(base_dir=str(tmp_path))
    with pytest.raises(
        OptionsError, match=rf"`data`: expected the path .* no channels of a SageMaker job under {tmp_path}"
    ):
        load_job(options, World())


def test_the_channels_of_a_job_are_read_without_data(root, tmp_path):
    channels = {"train": ("File", "ShardedByS3Key"), "val": ("FastFile", "FullyReplicated")}
    files = write_job(tmp_path / "base", root, channels, hosts=("algo-1", "algo-2"), host=1)
    splits = open_dataset(str(root)).manifest.splits
    place_shards(files, "train", root, splits["train"].shards[:2])
    place_shards(files, "val", root, splits["val"].shards)
    options = TrainOptions(base_dir=str(tmp_path / "base"), recipe=Recipe(batch_size=3), eval_split="val")
    report = report_job(load_job(options, World(rank=1, size=2)))
    assert report.host == "algo-2"
    facts = dict(report.facts)
    assert facts["how split 'train' is read"] == "File, ShardedByS3Key"
    assert facts["how split 'val' is read"] == "FastFile, FullyReplicated"
    assert facts["the steps of an epoch"] == "2"
    assert [share.own_shards for share in report.shares] == [(0, 1), ()]
    with pytest.raises(DataSetError, match="shard 2 of 4 is on no host"):
        check_agreement([report])


class TwoHosts(SoloCollective):
    """This rank on one host, and one on another host that has all other shards."""

    def __init__(self, other_shards):
        self._other_shards = other_shards

    def allgather(self, value):
        shares = tuple(
            dataclasses.replace(share, host="algo-9", own_shards=self._other_shards) if share.own_shards else share
            for share in value.shares
        )
        return [value, dataclasses.replace(value, rank=0, host="algo-9", shares=shares)]


def test_an_epoch_goes_on_where_hosts_have_the_shards_that_they_had(root, tmp_path):
    files = write_job(
        tmp_path / "base", root, {"train": ("File", "ShardedByS3Key")}, hosts=("algo-1", "algo-2"), host=1
    )
    shards = open_dataset(str(root)).manifest.splits["train"].shards
    place_shards(files, "train", root, shards[:2])
    options = TrainOptions(base_dir=str(tmp_path / "base"), recipe=Recipe(batch_size=3))
    feed = agree_on_job(options, World(rank=1, size=2), TwoHosts((2, 3))).feed
    progress = TrainingProgress()
    next(feed.training(progress))
    state = feed.state()
    feed.close()
    assert (state["position"], state["host_shares"]) == (3, [[0, 1], [2, 3]])
    again = agree_on_job(options, World(rank=1, size=2), TwoHosts((2, 3))).feed
    assert again.resume(state, progress)
    assert again.state()["position"] == 3
    assert not again.resume(state | {"host_shares": [[0, 2], [1, 3]]}, progress)
    assert again.state()["position"] == 0


def test_a_pipe_that_would_not_be_read_stops_the_job(root, tmp_path):
    write_job(tmp_path / "base", root, dict.fromkeys(("train0", "val0"), ("Pipe", "ShardedByS3Key")))
    with pytest.raises(OptionsError, match="channel 'val0': expected Pipe channels of the splits that are read alone"):
        load_job(TrainOptions(base_dir=str(tmp_path / "base")), World())


EPOCH = EpochResult(epoch=1, steps=14, loss=2.30259, learning_rate=0.1, images_per_second=512.4)
EVALUATION = EvaluationResult(loss=1.5, accuracy=0.25, records=51, steps=2)


def test_epoch_line():
    assert format_epoch(EPOCH, rank=0, world=2, epochs=3) == "rank 0/2 epoch 1/3 steps 14 loss 2.3026 images/s 512"


def test_metrics_are_written_whole_into_a_new_folder(tmp_path):
    metrics = Metrics(
        manifest_digest="a" * 64, split="train", records=9, steps_per_epoch=14, world=2, batch_size=3, epochs=(EPOCH,)
    )
    put_metrics(str(tmp_path / "new" / "metrics.json"), metrics)
    assert b'"loss": 2.30259' in (tmp_path / "new" / "metrics.json").read_bytes()


def test_the_command_line_loads_no_heavy_library():
    code = (
        "import sys, packer.trainer.cli, packer.loading.tf_adapter\n"
        "print({'tensorflow', 'horovod', 'mxnet', 'torch', 'PIL'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30).stdout == "set()\n"


def test_a_rank_that_the_toolkit_starts_tells_sagemaker_why_it_failed(root, tmp_path):
    files = write_job(tmp_path / "base", root, {"train": ("File", "FullyReplicated")})
    done = subprocess.run(
        [sys.executable, ROOT / "docker/train.py", "--epochs", "0"],
        env=os.environ | {"SAGEMAKER_BASE_DIR": files.base_dir, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, "error: --epochs: expected at least 1, got 0\n")
    failure = tmp_path / "base/output/failure"
    assert failure.read_text() == "rank 0 of 1: --epochs: expected at least 1, got 0"
