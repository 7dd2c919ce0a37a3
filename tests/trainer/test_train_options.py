import pytest

from packer.errors import OptionsError
from packer.trainer.core.recipe import PRESETS, Recipe, find_preset
from packer.trainer.core.train_options import CheckpointOptions, LogOptions, TrainOptions


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "`epochs`: expected at least 1, got 0"),
        ({"batch_size": 0}, "`batch_size`: expected at least 1, got 0"),
        ({"accumulation": 0}, "`accumulation`: expected at least 1, got 0"),
        ({"image_size": 15}, "`image_size`: expected at least 16, got 15"),
        ({"learning_rate": 0.0}, "`learning_rate`: expected a number above 0, got 0"),
        ({"learning_rate": float("nan")}, "`learning_rate`: expected a number above 0, got nan"),
        ({"learning_rate": float("inf")}, "`learning_rate`: expected a number above 0, got inf"),
        ({"warmup_epochs": -1.0}, "`warmup_epochs`: expected 0 to 1"),
        ({"warmup_epochs": 1.5}, "`warmup_epochs`: expected 0 to 1"),
        ({"min_area": 0.0}, "`min_area`: expected a share above 0, up to 1, got 0"),
        ({"momentum": 1.0}, "`momentum`: expected 0 or more, below 1, got 1"),
        ({"ema": 1.0}, "`ema`: expected 0 or more, below 1, got 1"),
        ({"label_smoothing": -0.1}, "`label_smoothing`: expected 0 or more, below 1"),
        ({"weight_decay": float("inf")}, "`weight_decay`: expected a number of at least 0, got inf"),
        ({"decay_factor": 1.0}, "`decay_factor`: expected a factor between 0 and 1, got 1"),
        ({"decay_epochs": (60, 30)}, "`decay_epochs`: expected epochs above 0 in ascending order"),
    ],
)
def test_recipes_that_cannot_be_are_refused(fields, message):
    with pytest.raises(OptionsError, match=message):
        Recipe(**fields)


def test_a_preset_is_found_by_its_name():
    assert find_preset("") == Recipe()
    assert find_preset("imagenet") is PRESETS["imagenet"]
    assert (PRESETS["imagenet"].model, PRESETS["imagenet"].epochs) == ("resnet50", 90)
    with pytest.raises(OptionsError, match="`preset`: expected one of imagenet, got 'cifar'"):
        find_preset("cifar")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"checkpoint_steps": -1, "model_dir": "m"}, "`checkpoint_steps`: expected at least 0, got -1"),
        ({"checkpoint_seconds": float("nan"), "model_dir": "m"}, "`checkpoint_seconds`: expected at least 0, got nan"),
        ({"keep_checkpoints": 0}, "`keep_checkpoints`: expected at least 1, got 0"),
        ({"checkpoint_steps": 5}, "`model_dir`: expected a place for checkpoints of steps or seconds, got none"),
    ],
)
def test_checkpoints_that_cannot_be_are_refused(fields, message):
    with pytest.raises(OptionsError, match=message):
        CheckpointOptions(**fields)


def test_events_need_a_distance():
    with pytest.raises(OptionsError, match="`log_steps`: expected at least 1, got 0"):
        LogOptions(log_steps=0)
    with pytest.raises(OptionsError, match="`log_seconds`: expected at least 0, got -1"):
        LogOptions(log_seconds=-1.0)


KEPT = CheckpointOptions(model_dir="m")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": "val"}, "`split`: expected a training split"),
        ({"pipe_timeout": 0.0}, "`pipe_timeout`: expected seconds above 0, got 0"),
        ({"manifest": "y"}, "`manifest`: expected it with the channels of a SageMaker job, got `data` too"),
        (
            {"evaluate_only": True, "eval_split": "val"},
            "`evaluate_only`: expected `eval_split` and `model_dir` with it",
        ),
        (
            {"evaluate_only": True, "checkpoints": KEPT},
            "`evaluate_only`: expected `eval_split` and `model_dir` with it",
        ),
        ({"eval_split": "train"}, "`eval_split`: expected an evaluation split"),
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
        ({"eval_split": "val", "checkpoints": KEPT, "evaluate_only": True}, ("val",)),
    ],
)
def test_splits_that_are_read(fields, splits):
    assert TrainOptions(**fields).splits == splits
