"""What PyTorch's trainer can on several ranks beside what `test_stacks.py` shows of every framework."""

import importlib
import json
import math

import pytest

from tests.trainer import rank_jobs
from tests.trainer.rank_jobs import TORCHRUN, learnable, losses
from tests.trainer.serving import accuracy

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TRAINER = ("-m", "packer.trainer", "--framework", "torch", "--image-size", 16, "--loader", "process", "--threads", 1)
STEPS = 40
"""Of an epoch on two ranks of four samples each."""


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return learnable(tmp_path_factory.mktemp("data"), num_records=STEPS * 8)


def test_another_number_of_ranks_goes_on_with_the_same_samples(data, tmp_path):
    """Four ranks of half the batch: each step's loss is the mean over the same samples, added in another order."""
    common = ("--data", data, "--epochs", 3, "--decay", "cosine", "--log-steps", 1, "--model-dir", tmp_path / "model")
    two = ("--batch-size", 4, "--checkpoint-steps", 55, "--keep-checkpoints", 9)
    ended = rank_jobs.run(TORCHRUN, 2, *TRAINER, *common, *two, "--events", tmp_path / "two.jsonl")
    assert ended.status == 0, ended.lines
    for path in (tmp_path / "model/checkpoints").glob("step-*"):
        if "00000055" not in path.name:
            path.unlink()
    four = ("--batch-size", 2, "--rate-batch", 4)
    ended = rank_jobs.run(TORCHRUN, 4, *TRAINER, *common, *four, "--events", tmp_path / "four.jsonl")
    assert ended.status == 0, ended.lines
    ours, theirs = losses(tmp_path / "four.jsonl"), losses(tmp_path / "two.jsonl")
    assert sorted(ours) == list(range(56, 3 * STEPS + 1))
    for step, loss in ours.items():
        assert math.isclose(loss, theirs[step], rel_tol=1e-2, abs_tol=1e-4), step


def test_ranks_read_a_bucket_and_keep_their_state_there(bucket, data, tmp_path):
    for path in data.rglob("*.*"):
        bucket.put(f"some/prefix/set/{path.relative_to(data)}", path.read_bytes())
    places = ("--data", f"{bucket.uri}/set", "--model-dir", f"{bucket.uri}/run", "--endpoint-url", bucket.endpoint)
    for epochs in (1, 2):
        ended = rank_jobs.run(
            *(TORCHRUN, 2, *TRAINER, *places, "--batch-size", 4, "--epochs", epochs),
            *("--metrics", tmp_path / "metrics.json", "--export", tmp_path / "export"),
        )
        assert ended.status == 0, ended.lines
    assert len([line for line in ended.lines if line.endswith("/2 goes on after epoch 1")]) == 2
    (second,) = json.loads((tmp_path / "metrics.json").read_text())["epochs"]
    assert (second["epoch"], second["steps"]) == (2, STEPS)
    assert second["loss"] < 0.8
    states = [key for key in bucket.list_keys() if key.endswith(".torch")]
    assert states == [f"some/prefix/run/checkpoints/step-{step:08d}.torch" for step in (STEPS, 2 * STEPS)]
    torch = importlib.import_module("torch")
    served = torch.export.load(tmp_path / "export/model.pt2").module()
    with torch.no_grad():
        assert accuracy(tmp_path / "export", lambda images: served(torch.from_numpy(images))) > 0.9
