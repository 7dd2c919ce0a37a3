import pytest

from packer.channels.channel_names import InputMode, channel_name, check_channel_names
from packer.errors import OptionsError


def test_a_split_and_a_local_rank_make_a_name():
    assert channel_name("train") == "train"
    assert channel_name("train-aug", 3) == "train_aug3"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train_0"], "FIFO of an epoch of channel 'train'"),
        (["train", "Train"], "SM_CHANNEL_TRAIN"),
        (["val", "val"], "SM_CHANNEL_VAL"),
        (["train.0"], "letters, digits and underscores"),
        (["0train"], "letters, digits and underscores"),
        ([""], "letters, digits and underscores"),
        (["t" * 65], "1 to 64"),
        (["code"], "Python SDK"),
        ([f"train{rank}" for rank in range(21)], "at most 20 in a job, got 21"),
    ],
)
def test_names_that_break_something_are_refused(names, said):
    with pytest.raises(OptionsError, match=said):
        check_channel_names(names)


def test_sound_names_pass():
    check_channel_names(["train0", "train1", "val", "meta"])
    assert InputMode("FastFile") is InputMode.FAST_FILE
