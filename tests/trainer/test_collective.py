import sys

import pytest

from packer.errors import MissingExtraError, OptionsError
from packer.trainer.core.collective import SoloCollective, lost_rank_error, parse_stall_limit, total
from packer.trainer.core.world import Launcher, World
from packer.trainer.horovod_ranks import HorovodCollective


def test_one_process_speaks_to_itself():
    solo = SoloCollective()
    assert solo.allgather("a") == ["a"]
    assert total(solo, [1.5, 2.0]) == (1.5, 2.0)


def test_without_horovod_the_command_that_compiles_it_is_named(monkeypatch):
    for name in ("HOROVOD_STALL_CHECK_TIME_SECONDS", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"):
        monkeypatch.setenv(name, "60")
    monkeypatch.setitem(sys.modules, "horovod", None)
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"make horovod FRAMEWORK=torch\|tensorflow"):
        HorovodCollective(World(size=2, launcher=Launcher.HOROVOD), "horovod.tensorflow")


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
