from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from packer.engines.base import Engine
from packer.engines.spark import SparkEngine
from tests.engines import tasks
from tests.engines.contract import EngineContract, ignore
from tests.tools.spark import spark_session

pytestmark = pytest.mark.spark
ROOT = Path(__file__).parents[2]


class TestSparkEngine(EngineContract):
    @pytest.fixture(scope="class")
    def engine(self) -> Iterator[Engine]:
        with spark_session("local-cluster[2,1,1024]"):
            engine = SparkEngine()
            yield engine
            engine.close()

    def test_two_executors_work(self, engine: Engine) -> None:
        assert len(set(engine.run(tasks.process_of, None, range(8), ignore))) >= 2

    def test_one_partition_is_one_task(self, engine: Engine) -> None:
        """Hash partitioning of 256 numbers would leave nearly 100 partitions empty."""
        numbers = engine._spark.range(0, 256, 1, 256).rdd.mapPartitions(lambda rows: [sum(1 for _ in rows)])
        assert numbers.collect() == [1] * 256

    def test_a_session_that_was_there_is_left_alone(self, engine: Engine) -> None:
        SparkEngine().close()
        assert dict(engine.run(tasks.square, 1, [2], ignore)) == {2: 4}
