import pytest

from packer.errors import OptionsError
from packer.trainer.train_options import TrainOptions


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "--epochs: expected at least 1, got 0"),
        ({"batch_size": 0}, "--batch-size: expected at least 1, got 0"),
        ({"image_size": 15}, "--image-size: expected at least 16, got 15"),
        ({"learning_rate": 0.0}, "--learning-rate: expected a number above 0, got 0"),
        ({"learning_rate": float("nan")}, "--learning-rate: expected a number above 0, got nan"),
        ({"learning_rate": float("inf")}, "--learning-rate: expected a number above 0, got inf"),
        ({"warmup_epochs": -1.0}, "--warmup-epochs: expected 0 to 1"),
        ({"warmup_epochs": 1.5}, "--warmup-epochs: expected 0 to 1"),
        ({"split": "val"}, "--split: expected a training split"),
        ({"pipe_timeout": 0.0}, "--pipe-timeout: expected seconds above 0, got 0"),
        ({"manifest": "y"}, "--manifest: expected it with the channels of a SageMaker job, got --data too"),
        (
            {"evaluate_only": True, "eval_split": "val"},
            "--evaluate-only: expected --eval-split and --model-dir with it",
        ),
        ({"evaluate_only": True, "model_dir": "m"}, "--evaluate-only: expected --eval-split and --model-dir with it"),
        ({"eval_split": "train"}, "--eval-split: expected an evaluation split"),
    ],
)
def test_options_that_cannot_be_are_refused(fields, message):
    with pytest.raises(OptionsError, match=message):
        TrainOptions(data="x", **fields)


@pytest.mark.parametrize(
    ("fields", "splits"),
    [
        ({}, ("train",)),
        ({"eval_split": "val"}, ("train", "val")),
        ({"eval_split": "val", "model_dir": "m", "evaluate_only": True}, ("val",)),
    ],
)
def test_splits_that_are_read(fields, splits):
    assert TrainOptions(**fields).splits == splits
