import pytest

from packer.errors import OptionsError
from packer.trainer.options import TrainOptions


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
        ({"eval_split": "train"}, "--eval-split: expected an evaluation split"),
    ],
)
def test_options_that_cannot_be_are_refused(fields, message):
    with pytest.raises(OptionsError, match=message):
        TrainOptions(data="x", **fields)
