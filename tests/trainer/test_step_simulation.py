import json
import subprocess
import sys

import pytest

from packer.errors import OptionsError
from packer.trainer.core.step_time import parse_step_time
from packer.trainer.core.train_options import CheckpointOptions, TrainOptions
from tests.trainer.rank_jobs import learnable


@pytest.mark.parametrize(("text", "seconds"), [("64ms", 0.064), ("500us", 0.0005), ("0.1s", 0.1), (".5s", 0.5)])
def test_times(text, seconds):
    assert parse_step_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["64", "ms", "-1ms", "1 ms", "1m", "nans", "1e3ms"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(OptionsError, match="`simulate_step`: expected a time such as 64ms"):
        parse_step_time(text)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"export": "e"}, "export"),
        ({"checkpoints": CheckpointOptions(model_dir="m")}, "model_dir"),
        ({"evaluate_only": True}, "evaluate_only"),
    ],
)
def test_without_a_model_there_is_nothing_to_keep(fields, name):
    with pytest.raises(OptionsError, match=f"`{name}`: expected it with a model, got it with `simulate_step`"):
        TrainOptions(data="x", simulate_step="1ms", **fields)


@pytest.mark.torch
@pytest.mark.slow
def test_steps_without_a_model_read_all_data(tmp_path):
    pytest.importorskip("torch")
    data = learnable(tmp_path / "data", num_records=32)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "packer.trainer", "--data", data, "--simulate-step", "2ms", "--eval-split", "val"),
            *("--image-size", "16", "--batch-size", "4", "--metrics", tmp_path / "metrics.json"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "rank 0/1 32 samples in " in done.stdout.splitlines()[-1]
    epoch = json.loads((tmp_path / "metrics.json").read_text())["epochs"][0]
    assert (epoch["steps"], epoch["evaluation"]["records"]) == (8, 27)
