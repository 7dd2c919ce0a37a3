from __future__ import annotations

from pathlib import Path

import pytest

from packer.engines.spark_memory import memory_notice
from packer.pipeline import pack
from packer.progress import SilentProgress
from tests.tools.datasets import SerialEngine, make_options, write_images

SMALL = "set spark.executor.memoryOverhead="


@pytest.mark.parametrize(
    ("settings", "wanted_mb"),
    [
        ({"spark.master": "local[2]"}, None),
        ({"spark.master": "spark://host:7077", "spark.executor.cores": "8"}, None),
        ({"spark.master": "yarn"}, None),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.memory": "8g"}, 1200),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.memory": "12g"}, None),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.memoryOverhead": "1199m"}, 1200),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.memoryOverhead": "1200"}, None),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.memoryOverheadFactor": "1.2"}, None),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.executor.pyspark.memory": "1g"}, None),
        ({"spark.master": "yarn", "spark.executor.cores": "4", "spark.task.cpus": "4"}, None),
        ({"spark.master": "k8s://host", "spark.executor.cores": "4", "spark.executor.memory": "3g"}, None),
        ({"spark.master": "k8s://host", "spark.executor.cores": "4", "spark.executor.memory": "2g"}, 1200),
    ],
)
def test_room_for_workers(settings: dict[str, str], wanted_mb: int | None) -> None:
    notice = memory_notice(settings)
    if wanted_mb is None:
        assert notice is None
    else:
        assert notice is not None
        assert f"{SMALL}{wanted_mb}m" in notice


class Wary(SerialEngine):
    notices = ("there is little memory",)


class Noting(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_tells_its_engines_notices(tmp_path: Path) -> None:
    progress = Noting()
    images = write_images(tmp_path / "images", 8)
    pack(make_options(images, tmp_path / "out", allow_fill=True), engine=Wary(), progress=progress)
    assert progress.notes[0] == "there is little memory"
