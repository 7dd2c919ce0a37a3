import importlib.util
import json
import shutil
import subprocess
import types
from pathlib import Path

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("awsglue")

import packer
from tests.tools.datasets import digests, pack_small
from tests.tools.submit import ROOT, Submitter

pytestmark = [pytest.mark.spark, pytest.mark.slow]
PROGRAM = ROOT / "packer/programs/glue_pack.py"
GLUES_OWN = (
    *("--JOB_NAME", "pack", "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1", "--TempDir", "s3://bucket/tmp"),
    *("--job-bookmark-option", "job-bookmark-disable", "--job-language", "python", "--enable-metrics", "true"),
)
# What the wheel's Job calls: static methods of this name. Amazon's own class is on no registry.
JOB_CLASS = """
package com.amazonaws.services.glue.util;
public class Job {
    public static void init(String name, org.apache.spark.sql.SparkSession session, java.util.Map<String, String> args)
        { System.err.println("stand-in: init " + name + " " + args.get("JOB_RUN_ID")); }
    public static void commit() { System.err.println("stand-in: commit"); }
}
"""


@pytest.fixture(scope="module")
def glue_pack() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("glue_pack", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(module: types.ModuleType, *arguments: object) -> packer.PackOptions:
    options = module.read_options(["glue_pack.py", *map(str, arguments)])
    assert isinstance(options, packer.PackOptions)
    return options


@pytest.mark.parametrize("form", ["--{}-{} {}", "--{}_{} {}", "--{}-{}={}"])
def test_hyphens_and_underscores_are_one(glue_pack: types.ModuleType, form: str) -> None:
    options = read(glue_pack, "--source", "a", "--dest", "b", *form.format("shard", "size", "20MB").split(), *GLUES_OWN)
    assert (options.source, options.dest, options.shard_size) == ("a", "b", "20MB")
    assert options.engine == "spark"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("false", False)])
def test_flags_have_values(glue_pack: types.ModuleType, text: str, value: bool) -> None:
    assert read(glue_pack, "--source", "a", "--dest", "b", "--stratify", text).stratify is value


def test_parameters_come_before_the_file(glue_pack: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text("source: a\nseed: 3\ngpus-per-instance: 8\nengine: local\n")
    options = read(glue_pack, "--config", tmp_path / "pack.yaml", "--dest", "b", "--seed", "-4")
    assert (options.source, options.dest, options.seed, options.world) == ("a", "b", -4, 8)
    assert options.engine == "spark"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "a"), "shardpack: --dest: expected a path or URI, got nothing"),
        (("--source", "a", "--dest", "b", "--gpus", "many"), "shardpack: --gpus: expected a whole number, got 'many'"),
        (("--source", "a", "--dest", "b", "--config", "none.yaml"), "shardpack: --config: none.yaml cannot be read"),
    ],
)
def test_bad_parameters_end_the_job_with_their_names(
    glue_pack: types.ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("sys.argv", ["glue_pack.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        glue_pack.main()
    assert str(ended.value).startswith(message)


def test_what_is_not_read_is_told(glue_pack: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt option cannot be told from one of Glue's, so it is at least shown."""
    read(glue_pack, "--source", "a", "--dest", "b", "--gpu", "8", "--JOB_NAME", "pack")
    assert capsys.readouterr().err == "shardpack: parameters that are Glue's or unknown: --JOB_NAME --gpu\n"


def test_a_run(submitter: Submitter, images: Path, tmp_path: Path) -> None:
    done = submitter.submit(
        PROGRAM, *GLUES_OWN, "--source", images, "--dest", tmp_path / "out", "--gpus", 4, "--resize", 24,
        "--allow_fill", "true", "--stratify", "true", "--split", "train=0.8,val=0.2",
        options=("--py-files", str(submitter.zip)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    pack_small(images, tmp_path / "expected", split="train=0.8,val=0.2", stratify=True, allow_fill=True)
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert json.loads(done.stdout.splitlines()[-1])["splits"]["train"]["num_records"] == 48


@pytest.mark.may_skip
@pytest.mark.parametrize("gpus", ["4", "4000"], ids=["done", "failed"])
def test_glues_job_is_committed_on_success_alone(submitter: Submitter, images: Path, tmp_path: Path, gpus: str) -> None:
    jar = compile_job_class(tmp_path)
    done = submitter.submit(
        PROGRAM, *GLUES_OWN, "--source", images, "--dest", tmp_path / "out", "--gpus", gpus, "--resize", 24,
        options=("--py-files", str(submitter.zip), "--jars", str(jar)),
    )  # fmt: skip
    calls = [line for line in done.stderr.splitlines() if line.startswith("stand-in: ")]
    if gpus == "4":
        assert done.returncode == 0, done.stdout
        assert calls == ["stand-in: init pack jr_1", "stand-in: commit"]
    else:
        assert done.returncode == 1
        assert calls == ["stand-in: init pack jr_1"]
        assert done.stdout.splitlines()[-1].startswith("shardpack: ")
        assert "Traceback" not in done.stdout + done.stderr


def compile_job_class(folder: Path) -> Path:
    import pyspark

    if not shutil.which("javac"):
        pytest.skip("a JDK is needed to compile the stand-in for Glue's Job class")
    source = folder / "com/amazonaws/services/glue/util/Job.java"
    source.parent.mkdir(parents=True)
    source.write_text(JOB_CLASS)
    jars = f"{Path(pyspark.__file__).parent}/jars/*"
    subprocess.run(["javac", "-cp", jars, str(source)], check=True)
    subprocess.run(["jar", "cf", folder / "glue.jar", "-C", folder, "com"], check=True)
    return folder / "glue.jar"
