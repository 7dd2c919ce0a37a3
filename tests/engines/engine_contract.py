"""What every engine must do; a test class for each engine inherits this one."""

import pytest

from packer.engines.engine import Engine
from packer.errors import CorruptRecordError, WorkerError
from tests.engines import tasks


def ignore(num_items: int, num_bytes: int) -> None:
    """A tick that nobody reads."""


class EngineContract:
    """Subclasses give `engine`."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise AssertionError("a subclass provides it")

    def test_each_task_runs(self, engine: Engine) -> None:
        assert dict(engine.run(tasks.square, 3, range(20), ignore)) == {n: 3 * n * n for n in range(20)}

    def test_any_task_numbers(self, engine: Engine) -> None:
        assert dict(engine.run(tasks.square, 1, [5, 100, 7], ignore)) == {5: 25, 100: 10_000, 7: 49}

    def test_no_tasks(self, engine: Engine) -> None:
        assert list(engine.run(tasks.square, 1, [], ignore)) == []

    def test_runs_again_with_another_function(self, engine: Engine) -> None:
        assert len(list(engine.run(tasks.square, 1, range(3), ignore))) == 3
        assert sorted(engine.run(tasks.fail_on_three, None, range(3), ignore)) == [0, 1, 2]

    def test_progress_adds_up(self, engine: Engine) -> None:
        seen: list[tuple[int, int]] = []
        list(engine.run(tasks.square, 1, range(20), lambda items, size: seen.append((items, size))))
        assert (sum(i for i, _ in seen), sum(b for _, b in seen)) == (20, 200)

    def test_errors_that_were_foreseen_come_as_they_are(self, engine: Engine) -> None:
        with pytest.raises(CorruptRecordError) as caught:
            list(engine.run(tasks.fail_on_three, None, range(6), ignore))
        assert str(caught.value) == "shard.tfrecord: record 7 at byte 1,234: expected this, found that"
        assert caught.value.offset_bytes == 1234

    def test_other_errors_name_the_task(self, engine: Engine) -> None:
        with pytest.raises(WorkerError, match="ZeroDivisionError"):
            list(engine.run(tasks.bug_on_three, None, range(6), ignore))
