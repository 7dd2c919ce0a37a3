import pytest

from packer.errors import OptionsError
from packer.trainer.collective import SoloCollective, lost_rank_error, parse_stall_limit


def test_one_process_speaks_to_itself():
    solo = SoloCollective()
    assert solo.allgather("a") == ["a"]
    assert solo.broadcast(7) == 7
    assert solo.total([1.5, 2.0]) == (1.5, 2.0)


@pytest.mark.parametrize(("text", "limit_s"), [("300", 300.0), ("0", 0.0)])
def test_stall_limit(text, limit_s):
    assert parse_stall_limit(text) == limit_s


@pytest.mark.parametrize("text", ["", "-1", "5m", "nan"])
def test_a_stall_limit_that_is_no_number_is_refused(text):
    with pytest.raises(OptionsError, match="HOROVOD_STALL_SHUTDOWN_TIME_SECONDS: expected a whole number of seconds"):
        parse_stall_limit(text)


def test_a_lost_rank_is_one_line():
    assert str(lost_rank_error("Horovod has been shut down.\nTraceback")) == (
        "another rank stopped, see its message; this one cannot go on without it (Horovod has been shut down.)"
    )
