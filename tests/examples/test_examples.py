"""The examples run, each where its framework is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import packer
from tests.tools.datasets import ROOT, write_images

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 small images in three classes, packed for two GPUs."""
    folder = tmp_path_factory.mktemp("examples")
    write_images(folder / "photos", 60)
    packer.pack(
        source=str(folder / "photos"),
        dest=str(folder / "shards"),
        gpus=2,
        resize=40,
        split="train=0.8,val=0.2",
        workers=1,
    )
    return str(folder / "shards")


def run(name: str, shards: str) -> str:
    """Run a script as its first lines say, from the folder of the clone; return what it printed."""
    script = HERE / f"{name}.py"
    usage = f"python {script.relative_to(ROOT)} shards/"
    assert usage in script.read_text(), f"{name} does not say how it is run: {usage}"
    done = subprocess.run(
        [sys.executable, str(script), shards],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_looking_at_a_data_set(shards: str) -> None:
    out = run("look_at_a_data_set", shards)
    assert out.startswith(f"<DataSet {shards}: tfrecord, train: 48 records in 2 shards; val: 12 records in 2 shards")
    assert len(re.findall(r"^val \d+: c[012]/\d{4}\.\w+, [012] \(c[012]\), \d+ x \d+$", out, re.M)) == 12
    assert out.count(" 6 rows of key, ") == 2


@pytest.mark.slow
def test_numpy(shards: str) -> None:
    out = run("train_with_numpy", shards)
    losses = [float(loss) for loss in re.findall(r"^epoch \d: loss of the last batch ([\d.]+)$", out, re.M)]
    assert len(losses) == 3
    assert losses[-1] < 1.0986  # that of a guess among three classes


@pytest.mark.slow
def test_a_transform_is_the_same_each_time(shards: str) -> None:
    changes = re.findall(r"^attempt \d: light changed by (.*)$", run("own_transform", shards), re.M)
    assert len(changes) == 2
    assert changes[0] == changes[1]
    assert len(set(changes[0].split(", "))) > 1


@pytest.mark.slow
def test_going_on_in_an_epoch(shards: str) -> None:
    assert run("resume_in_an_epoch", shards).endswith("went on with the same samples\n")


@pytest.mark.torch
def test_pytorch(shards: str) -> None:
    pytest.importorskip("torch")
    out = run("train_with_pytorch", shards)
    assert len(re.findall(r"^epoch \d: loss of the last batch \d+\.\d{3}$", out, re.M)) == 2
    assert re.search(r"^val: \d+ of 12 right$", out, re.M)


@pytest.mark.tensorflow
def test_keras(shards: str) -> None:
    pytest.importorskip("tensorflow")
    out = run("train_with_keras", shards)
    assert "Epoch 2/2" in out
    assert re.search(r"^val: loss \d+\.\d{3}, accuracy \d\.\d{3}$", out, re.M)


@pytest.mark.mxnet
def test_mxnet(shards: str) -> None:
    pytest.importorskip("mxnet")
    out = run("train_with_mxnet", shards)
    assert len(re.findall(r"^epoch \d: loss of the last batch \d+\.\d{3}$", out, re.M)) == 2


def test_every_example_is_run() -> None:
    scripts = {path.stem for path in HERE.glob("*.py")} - {"test_examples"}
    called = set(re.findall(r'run\("(\w+)"', Path(__file__).read_text()))
    assert scripts == called


def test_the_readme_names_every_example() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in HERE.glob("*.py"):
        if path.stem != "test_examples":
            assert f"tests/examples/{path.name}" in readme, path.name
