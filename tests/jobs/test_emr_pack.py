import json
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from tests.tools.datasets import digests, pack_small, write_images
from tests.tools.submit import CLUSTER, ROOT, Submitter

pytestmark = [pytest.mark.spark, pytest.mark.slow]
PROGRAM = ROOT / "packer/programs/emr_pack.py"
OPTIONS = ("--gpus", 4, "--resize", 24, "--split", "train=0.8,val=0.2", "--stratify", "--allow-fill")


def test_the_package_comes_from_the_zip_alone(submitter: Submitter, tmp_path: Path) -> None:
    imported = submitter.run_python("import pyarrow, pyspark, typer, packer")
    assert imported.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'packer'"
    submitted = submitter.submit(PROGRAM, tmp_path, tmp_path / "out")
    assert submitted.returncode == 1
    assert "ModuleNotFoundError: No module named 'packer'" in submitted.stdout


def test_a_cluster_makes_the_files_of_one_process(submitter: Submitter, images: Path, tmp_path: Path) -> None:
    """The package reaches two executors as a zip file; a file of options reaches the driver."""
    (tmp_path / "pack.json").write_text(json.dumps({"split": "train=0.8,val=0.2", "stratify": True, "engine": "local"}))
    done = submitter.submit(
        PROGRAM, images, tmp_path / "out", "--gpus", 4, "--resize", 24, "--allow-fill", "--json",
        "--config", tmp_path / "pack.json",
        master=CLUSTER, options=("--py-files", str(submitter.zip)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pack_small(images, tmp_path / "expected", split="train=0.8,val=0.2", stratify=True, allow_fill=True)
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert json.loads(done.stdout.splitlines()[-1])["splits"]["train"]["num_records"] == 48
    assert "pyspark" in json.loads((tmp_path / "out/meta/run.json").read_bytes())["versions"]


def test_an_error_in_a_task_is_the_last_line(submitter: Submitter, tmp_path: Path) -> None:
    """spark-submit sends what the program says on standard error to standard output, apart from Spark's own log."""
    source = write_images(tmp_path / "source", 60)
    (source / "c0/broken.jpg").write_bytes(b"no image")
    done = submitter.submit(
        PROGRAM, source, tmp_path / "out", *OPTIONS, "--on-reject", "fail", options=("--py-files", str(submitter.zip))
    )
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("shardpack: ")
    assert "c0/broken.jpg: not_an_image: " in last
    assert last.endswith("(--on-reject fail)")
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "out/manifest.json").exists()


def test_bad_options_start_no_spark(submitter: Submitter, images: Path, tmp_path: Path) -> None:
    done = submitter.submit(
        PROGRAM, images, tmp_path / "out", "--shard-size", "1GB", options=("--py-files", str(submitter.zip))
    )
    assert done.returncode == 2
    assert done.stdout == "shardpack: --shard-size: expected 1MB to 128MB, got '1GB'\n"
    assert "SparkContext: Running Spark" not in done.stderr
    assert not (tmp_path / "out").exists()
