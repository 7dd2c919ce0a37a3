import collections
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from packer.errors import CorruptRecordError, DataSetError, MissingExtraError, OptionsError
from packer.reading.dataset import open_dataset
from packer.reading.job_channels import Place, open_channels
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.records import iter_samples
from packer.specs import FormatName
from tests.reading.containers import feeding, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import pack_small, write_images

NUM_TRAIN, NUM_VAL = 48, 13
LIMIT_S = 150


def test_without_pytorch_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "packer.reading.torch_data", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
        import packer.reading.torch_data  # noqa: F401


@pytest.fixture(params=list(FormatName))
def data(tmp_path, request):
    splits = {"train": deal(make_samples(NUM_TRAIN), 4), "val": deal(make_samples(NUM_VAL, first=1), 4)}
    make_dataset(tmp_path, splits, container=request.param, world=2)
    return tmp_path


@pytest.mark.torch
class TestWithPyTorch:
    """Needs PyTorch throughout."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")

    def loader(self, data, split="train", *, batch_size=6, num_workers=0, image_px=16, **read):
        from packer.reading.torch_data import BatchLoader

        opened = data if callable(data) else partial(open_dataset, str(data))
        batch = BatchSpec(batch_size=batch_size, image_px=image_px)
        return BatchLoader(opened, split, ReadSpec(**read), batch, num_workers=num_workers)

    def labels(self, batches):
        return [int(label) for _, labels, _ in batches for label in labels]

    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_an_epoch_has_each_record_once_over_all_ranks(self, data, world):
        loaders = [self.loader(data, rank=rank, world=world) for rank in range(world)]
        for epoch in range(2):
            ranks = [list(loader.epoch(epoch)) for loader in loaders]
            assert {len(batches) for batches in ranks} == {NUM_TRAIN // world // 6} == {loaders[0].steps}
            assert sorted(itertools.chain(*map(self.labels, ranks))) == list(range(NUM_TRAIN))

    def test_batches_have_the_promised_shape(self, data):
        images, labels, weights = next(self.loader(data).epoch())
        assert (images.shape, images.dtype) == ((6, 3, 16, 16), self.torch.uint8)
        assert images.is_contiguous(memory_format=self.torch.channels_last)
        assert (labels.shape, labels.dtype) == ((6,), self.torch.int64)
        assert (weights.tolist(), weights.dtype) == ([1.0] * 6, self.torch.float32)
        assert images.float().std() > 10

    def test_a_short_last_batch_is_left_out(self, data):
        loader = self.loader(data, world=2, batch_size=7)
        batches = list(loader.epoch())
        assert len(batches) == loader.steps == 3
        assert len(set(self.labels(batches))) == 21

    def test_order_and_crops_depend_on_seed_and_epoch_alone(self, data):
        same = [list(self.loader(data, seed=5).epoch(2)) for _ in range(2)]
        for first, second in zip(*same, strict=True):
            assert all(self.torch.equal(one, other) for one, other in zip(first, second, strict=True))
        orders = [self.labels(self.loader(data, seed=seed).epoch(epoch)) for seed in (0, 1) for epoch in (0, 1)]
        assert len({tuple(order) for order in orders}) == 4

    @pytest.mark.parametrize(("world", "batch_size"), [(1, 4), (2, 4), (4, 2), (4, 9)])
    def test_evaluation_has_each_record_once_and_equal_steps(self, data, world, batch_size):
        seen = collections.Counter()
        for rank in range(world):
            loader = self.loader(data, "val", rank=rank, world=world, batch_size=batch_size)
            batches = list(loader.epoch())
            assert len(batches) == open_dataset(str(data)).steps("val", world=world, batch_size=batch_size)
            for images, labels, weights in batches:
                assert images.shape == (batch_size, 3, 16, 16)
                assert not images[weights == 0].any()
                seen.update(labels[weights == 1].tolist())
        assert seen == collections.Counter(range(1, NUM_VAL + 1))

    def test_evaluation_images_are_the_centre_of_the_stored_ones(self, data):
        images, labels, _ = next(self.loader(data, "val", image_px=28, batch_size=1).epoch())  # 0.875 of 32 pixels
        import simplejpeg

        stored = {sample.label: sample.encoded for sample in make_samples(NUM_VAL, first=1)}
        expected = simplejpeg.decode_jpeg(stored[int(labels[0])])[2:30, 2:30]
        np.testing.assert_array_equal(images[0].permute(1, 2, 0).numpy(), expected)

    def test_half_of_the_images_are_mirrored(self, tmp_path):
        sample = make_samples(1)[0]
        samples = [dataclasses.replace(sample, label=index) for index in range(64)]
        make_dataset(tmp_path, {"train": [samples]})
        from packer.reading.torch_data import BatchLoader

        batch = BatchSpec(batch_size=64, image_px=32, min_area=1.0)  # the whole picture, or nearly
        ((images, _, _),) = BatchLoader(partial(open_dataset, str(tmp_path)), "train", ReadSpec(), batch).epoch()
        kinds = collections.Counter(image.numpy().tobytes() for image in images)
        assert len(kinds) >= 2
        plain, mirrored = images[0], images[0].flip(-1)
        as_first = sum(bool(self.torch.equal(image, plain)) for image in images)
        as_mirrored = sum(bool(self.torch.equal(image, mirrored)) for image in images)
        assert as_first > 10
        assert as_mirrored > 10

    @pytest.mark.parametrize("encode", ["png", "webp", "keep"])
    def test_other_encodings(self, tmp_path, encode):
        dest = pack_small(write_images(tmp_path / "source", 32), tmp_path / "data", encode=encode, resize="20x20").dest
        images = self.torch.cat([images for images, _, _ in self.loader(dest, batch_size=4).epoch()])
        assert images.shape[1:] == (3, 16, 16)
        assert images.float().std() > 10

    @pytest.mark.parametrize("container", list(FormatName))
    def test_vectors_of_floats_as_labels(self, tmp_path, container):
        samples = [dataclasses.replace(s, label=(s.label, 0.5, -1.0)) for s in make_samples(6)]
        splits = {"train": [samples], "val": deal(samples[:5], 1)}
        make_dataset(tmp_path, splits, container=container, label_kind="floats")
        ((_, labels, _),) = self.loader(tmp_path).epoch()
        assert (labels.shape, labels.dtype) == ((6, 3), self.torch.float32)
        assert sorted(labels[:, 0].tolist()) == [0, 1, 2, 3, 4, 5]
        *_, (_, labels, weights) = self.loader(tmp_path, "val", batch_size=3).epoch()
        assert (weights.tolist(), labels.tolist()[-1]) == ([1, 1, 0], [0, 0, 0])

    def test_an_epoch_that_is_left_early_does_not_touch_the_next(self, data):
        loader = self.loader(data)
        next(loader.epoch(0))
        assert self.labels(loader.epoch(1)) == self.labels(self.loader(data).epoch(1))

    def test_a_shard_that_is_cut_ends_the_epoch_with_its_name(self, data):
        loader = self.loader(data)
        shard = data / open_dataset(str(data)).manifest.split("train").shards[0].key
        shard.write_bytes(b"")
        with pytest.raises(DataSetError, match=f"{shard.name}: expected .* bytes, found 0"):
            list(loader.epoch())

    def test_what_cannot_be_read_is_refused_at_once(self, data, tmp_path):
        with pytest.raises(OptionsError, match="4 shards do not divide by 3 ranks"):
            self.loader(data, world=3)
        with pytest.raises(OptionsError, match="batch size: expected 1 to 48"):
            self.loader(data, batch_size=49)
        with pytest.raises(DataSetError, match="no split 'test'|'test'"):
            self.loader(data, "test")
        make_dataset(tmp_path / "none", {"train": [make_samples(4)]}, label_kind="none")
        with pytest.raises(DataSetError, match="expected labels, found none"):
            self.loader(tmp_path / "none")

    @pytest.mark.slow
    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_a_pipe_is_read_epoch_by_epoch(self, data, tmp_path, num_workers):
        files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(data, open_dataset(str(data)).manifest.split("train").shards)
        source = partial(open_channels, files.base_dir, Place())
        with pytest.raises(OptionsError, match="expected at most one worker, as a Pipe is one stream, got 2"):
            self.loader(source, num_workers=2)
        with feeding(*((files.fifo("train0", epoch=epoch), content) for epoch in range(2))):
            loader = self.loader(source, pipe_timeout_s=20, batch_size=7, num_workers=num_workers)
            for epoch in range(2):
                assert len(set(self.labels(loader.epoch(epoch)))) == 42

    @pytest.mark.slow
    @pytest.mark.parametrize("num_workers", [1, 2])
    def test_workers_read_each_record_once_and_stay(self, data, num_workers):
        train = self.loader(data, num_workers=num_workers)
        epochs = [self.labels(train.epoch(epoch)) for epoch in range(3)]
        assert [sorted(labels) for labels in epochs] == [list(range(NUM_TRAIN))] * 3
        assert len({tuple(labels) for labels in epochs}) == 3
        assert self.labels(train.epoch(1)) == epochs[1]
        next(train.epoch(0))
        assert self.labels(train.epoch(2)) == epochs[2]
        val = self.loader(data, "val", num_workers=num_workers, batch_size=4, world=2, rank=1)
        seen = [pair for _, labels, weights in val.epoch() for pair in zip(labels, weights, strict=True)]
        expected = [s.label for s in iter_samples(open_dataset(str(data)), "val", ReadSpec(rank=1, world=2))]
        assert sorted(int(label) for label, weight in seen if weight) == sorted(expected)
        assert len(seen) == 4 * val.steps

    @pytest.mark.slow
    def test_more_workers_than_batches(self, data):
        loader = self.loader(data, num_workers=2, batch_size=48)
        assert sorted(self.labels(loader.epoch())) == list(range(NUM_TRAIN))

    @pytest.mark.slow
    def test_what_a_worker_finds_is_raised_here(self, tmp_path):
        make_dataset(tmp_path, {"train": deal(make_samples(48), 4)})
        shard = tmp_path / "train/train-00002-of-00004.tfrecord"
        content = bytearray(shard.read_bytes())
        content[-100] ^= 1
        shard.write_bytes(content)
        with pytest.raises(
            (CorruptRecordError, RuntimeError), match=rf"{shard.name}: record 11 at byte .*masked crc32c"
        ):
            list(self.loader(tmp_path, num_workers=2).epoch())

    @pytest.mark.slow
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_ranks_of_torchrun_train_together(self, tmp_path, num_workers):
        splits = {"train": deal(make_samples(192, num_classes=3), 4), "val": deal(make_samples(27, num_classes=3), 4)}
        make_dataset(tmp_path / "data", splits, world=2)
        script = Path(__file__).with_name("torch_training.py")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        run = subprocess.run(
            [*command, str(script), str(tmp_path / "data"), str(num_workers)],
            env=os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        ranks = [json.loads(line) for line in run.stdout.splitlines()]
        assert sorted(rank["rank"] for rank in ranks) == [0, 1]
        for rank in ranks:
            assert rank["steps"] == [12, 12, 12]
            assert rank["losses"] == ranks[0]["losses"]
            assert rank["losses"][2] < rank["losses"][0] / 2
            assert rank["evaluated"] == 27
