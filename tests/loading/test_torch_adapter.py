import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from packer.errors import MissingExtraError
from packer.loading.loader import Loader
from packer.loading.loader_spec import ChannelInput
from packer.loading.torch_adapter import TorchBatches
from packer.reading.dataset import open_dataset
from tests.loading.test_loader import open_loader, take, vector_samples
from tests.reading.containers import feeding, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples

LIMIT_S = 150


@pytest.fixture
def data(tmp_path):
    splits = {"train": deal(make_samples(24), 4), "val": deal(make_samples(13, first=1), 4)}
    make_dataset(tmp_path, splits, world=2)
    return tmp_path


def test_without_pytorch_the_pip_command_is_named(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "torch", None)
    with open_loader(data) as loader, pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
        TorchBatches(loader)


@pytest.mark.torch
class TestWithPyTorch:
    """Needs PyTorch throughout."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")

    @pytest.mark.parametrize("where", ["process", pytest.param("subprocess", marks=pytest.mark.slow)])
    def test_tensors_are_the_loaders_own_memory(self, data, where):
        with open_loader(data, where=where, keys=True) as loader, open_loader(data) as other:
            batch = next(iter(TorchBatches(loader)))
            (expected,) = take(other, 1)
            assert (batch.images.shape, batch.images.dtype) == ((6, 3, 16, 16), self.torch.uint8)
            assert batch.images.is_contiguous(memory_format=self.torch.channels_last)
            np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).numpy(), expected.images)
            assert (batch.labels.tolist(), batch.labels.dtype) == (expected.labels.tolist(), self.torch.int64)
            assert (batch.weights.tolist(), batch.weights.dtype) == ([1.0] * 6, self.torch.float32)
            assert len(batch.keys) == 6
            start = loader.slot_memory.ctypes.data
            assert start <= batch.images.data_ptr() < start + loader.memory_bytes

    @pytest.mark.parametrize("where", ["process", pytest.param("subprocess", marks=pytest.mark.slow)])
    def test_vectors_through_pipes_where_the_last_batch_of_a_rank_is_empty(self, tmp_path, where):
        """Rank 0 has five records and rank 1 two, so that two of rank 1's three batches are empty."""
        data, samples = tmp_path / "data", vector_samples(7)
        make_dataset(data, {"val": [samples[:5], samples[5:]]}, world=2, label_kind="floats")
        channels = dict.fromkeys(("val0", "val1"), ("Pipe", "ShardedByS3Key"))
        files = write_job(tmp_path / "base", data, channels)
        shards = open_dataset(str(data)).manifest.split("val").shards
        found, losses = [], []
        for rank in range(2):
            source = ChannelInput(base_dir=files.base_dir, local_rank=rank, local_size=2)
            content = shard_bytes(data, [shards[rank]])
            loader = Loader(source, "val", batch_size=2, image_px=8, rank=rank, world=2, where=where)
            with feeding((files.fifo(f"val{rank}", epoch=0), content)), loader:
                batches = list(TorchBatches(loader))
            for batch in batches:
                assert (batch.labels.shape, batch.labels.dtype) == ((2, 2), self.torch.float32)
                outputs = batch.images.float().mean(dim=(2, 3))[:, :2]
                losses.append((((outputs - batch.labels) ** 2).mean(dim=1) * batch.weights).sum())
            found += [tuple(row) for batch in batches for row in batch.labels[: batch.num_samples].tolist()]
            assert [batch.num_samples for batch in batches] == [[2, 2, 1], [2, 0, 0]][rank]
        assert found == [sample.label for sample in samples]
        assert all(self.torch.isfinite(loss) for loss in losses)
        assert [float(loss) for loss in losses[4:]] == [0.0, 0.0]

    def test_a_tensor_keeps_its_memory(self, data):
        with open_loader(data) as loader:
            batches = iter(TorchBatches(loader))
            image = next(batches).images[2]
            expected = image.clone()
            for _ in range(12):
                next(batches)
        assert self.torch.equal(image, expected)

    def test_state_is_the_loaders(self, data):
        with open_loader(data) as loader:
            batches = iter(TorchBatches(loader))
            next(batches)
            assert loader.state_dict()["steps"] == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("where", ["process", "subprocess"])
    def test_ranks_of_torchrun_train_together(self, tmp_path, where):
        splits = {"train": deal(make_samples(192, num_classes=3), 4), "val": deal(make_samples(27, num_classes=3), 4)}
        make_dataset(tmp_path / "data", splits, world=2)
        script = Path(__file__).with_name("torch_training.py")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        run = subprocess.run(
            [*command, str(script), str(tmp_path / "data"), where],
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

    def test_an_evaluation_ends(self, data):
        with open_loader(data, "val", batch_size=4) as loader:
            batches = list(TorchBatches(loader))
        assert sum(float(batch.weights.sum()) for batch in batches) == 13
        assert len(batches) == loader.steps

    @pytest.mark.may_skip
    def test_a_gpu_gets_the_same_by_a_stream_of_its_own(self, data):
        if not self.torch.cuda.is_available():
            pytest.skip("there is no GPU")
        with open_loader(data, where="subprocess") as loader, open_loader(data) as other:
            expected = take(other, 12)
            held = [batch for batch, _ in zip(TorchBatches(loader, "cuda:0"), range(12), strict=False)]
            for batch, theirs in zip(held, expected, strict=True):
                assert batch.images.is_cuda
                assert batch.images.is_contiguous(memory_format=self.torch.channels_last)
                np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).cpu().numpy(), theirs.images)
                assert batch.labels.tolist() == theirs.labels.tolist()
