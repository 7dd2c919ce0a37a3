"""Every block of every page is run as a reader would run it, or says what it needs and is held against its parser."""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import pytest

import packer
from packer.stores.s3client import disconnect
from tests.cli.commands import shardpack
from tests.stores.conftest import SECRETS, moto_endpoint  # noqa: F401
from tests.tools.buckets import remove_bucket, upload_folder
from tests.tools.datasets import ROOT
from tests.tools.recipe_data import write_recipe_data
from tests.tools.recipe_pages import Block, read_blocks, split_commands, words_of
from tests.tools.recipe_runs import Place, block_faults

PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "packer/docs").glob("*.md")))}
MADE = "api.md"
"""Shows signatures, and is made of the code."""
WHEELS = ROOT / "build/photographs"
NEEDS = re.compile(
    "AWS|Spark|GPUs|PyTorch|Horovod|the network|several GB of downloads|two hosts|several hosts|a C compiler|"
    "a SageMaker job|a package of yours|peers' environments|Kubernetes|FSx for Lustre"
)
PHOTOS = {"README.md": "bucket/photos", "buckets.md": "photos/2026", "sagemaker.md": "BUCKET/photos"}
"""Where in buckets recipes find photographs."""
SHARDS = {"loading.md": "BUCKET/shards"}
"""Where in buckets recipes find a data set that none of the page has made."""
BEFORE = {"containers.md": "shardpack reshard shards/ tars/ --gpus 16 --format webdataset"}


def all_blocks() -> list[tuple[str, Block]]:
    return [(name, block) for name, path in PAGES.items() if name != MADE for block in read_blocks(path)]


def pages_with(*, runnable: bool) -> list[str]:
    return sorted({
        name for name, block in all_blocks() if bool(block.needs) != runnable and block.language in ("bash", "python")
    })  # fmt: skip


@pytest.mark.parametrize(("page", "block"), all_blocks(), ids=lambda value: getattr(value, "line", value))
def test_blocks_say_what_they_are(page: str, block: Block) -> None:
    assert block.language in ("bash", "python", "text", "yaml", "json"), f"{page}:{block.line}"
    assert not block.needs or NEEDS.fullmatch(block.needs), f"{page}:{block.line}: {block.needs}"
    if block.is_shell:
        assert list(split_commands(block.text)), f"{page}:{block.line}"


def check(page: str, block: Block, folder: Path) -> None:
    assert block_faults(block, folder) == [], f"{page}:{block.line}"


@pytest.mark.parametrize("page", pages_with(runnable=False))
def test_what_is_not_run_is_right(page: str, tmp_path: Path) -> None:
    for block in read_blocks(PAGES[page]):
        if block.needs and not needs_files(block):
            check(page, block, tmp_path)


def needs_files(block: Block) -> bool:
    """Say whether a block reads what one before it writes."""
    return any(f"cat > {name}" not in block.text for name in re.findall(r"file://(\S+)", block.text))


@pytest.fixture(scope="module")
def recipe_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and listings of them; read it, never write to it."""
    if not any(WHEELS.glob("*.whl")):
        pytest.skip("no photographs to derive from: run `make photographs`")
    folder = tmp_path_factory.mktemp("recipes")
    write_recipe_data(folder, WHEELS)
    return folder


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the S3 server, or of moto's."""
    address = os.environ.get("SHARDPACK_S3")
    if not address:
        address = request.getfixturevalue("moto_endpoint")
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", str(address))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return str(address)


@pytest.fixture
def place(
    recipe_data: Path,
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Place]:
    """A folder with what recipes name, and an empty bucket."""
    shutil.copytree(recipe_data, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    disconnect()
    client = boto3.Session().client("s3", endpoint_url=endpoint)
    bucket = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)

    def run(words: Sequence[str]) -> tuple[int, str]:
        code, out, errors = shardpack(capfd, *words)
        return code, out + errors

    yield Place(tmp_path, client, bucket, run)
    disconnect()
    remove_bucket(client, bucket)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with(runnable=True))
def test_recipes_of_a_page(page: str, place: Place) -> None:
    place.run_command("shardpack pack photos/ shards/ --gpus 16 --split train=0.9,val=0.1")
    if page in PHOTOS:
        upload_folder(place.client, place.bucket, place.folder / "photos", PHOTOS[page])
    if page in SHARDS:
        upload_folder(place.client, place.bucket, place.folder / "shards", SHARDS[page])
    if page in BEFORE:
        place.run_command(BEFORE[page])
    for block in read_blocks(PAGES[page]):
        if not block.needs:
            place.run(block)
        elif needs_files(block):
            check(page, block, place.folder)


@pytest.mark.torch
@pytest.mark.parametrize("page", ["README.md", "training.md"])
def test_training_recipes(page: str, recipe_data: Path, tmp_path: Path) -> None:
    """The lines that train in one process, with few images."""
    pytest.importorskip("torch")
    few = sorted(recipe_data.glob("photos/c*/*.jpg"))[:40]
    for path in few:
        (tmp_path / "photos" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "photos" / path.parent.name)
    packer.pack(
        source=str(tmp_path / "photos"), dest=str(tmp_path / "shards"), gpus=2, resize=48, split="train=0.8,val=0.2"
    )
    blocks = [block for block in read_blocks(PAGES[page]) if block.needs == "PyTorch"]
    commands = [words_of(command) for block in blocks for command in split_commands(block.text)]
    trainings = [words for words in commands if words[:3] == ["python", "-m", "packer.trainer"]]
    assert trainings
    for words in trainings:
        less = ["--epochs", "1", "--batch-size", "4"]
        done = subprocess.run(
            [sys.executable, *words[1:], *less],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout, done.stdout


def test_a_recipe_that_fails_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(words: Sequence[str]) -> tuple[int, str]:
        code, out, errors = shardpack(capfd, *words)
        return code, out + errors

    place = Place(tmp_path, None, "bucket", run)
    with pytest.raises(AssertionError, match="exit code 2"):
        place.run(Block("bash", "", 1, f"shardpack inspect \\\n  {tmp_path}/nothing  # there is none\n"))
    with pytest.raises(AssertionError, match="no test can run make demo"):
        place.run(Block("bash", "", 1, "make demo\n"))
    with pytest.raises(NameError):
        place.run(Block("python", "", 1, "train(1)\n"))


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("make nothing", "make has no nothing"),
        ("pip install '.[tensor]'", "there is no extra tensor"),
        ("aws glue make-job --name n", "aws glue has no make-job"),
        ("aws glue create-job --names n", "aws glue create-job has no --names"),
        ("aws glue create-job --name n", "Missing required parameter in input"),
        ("aws glue start-job-run --job-name n --arguments '{\"--gpus\": 16}'", "Invalid type for parameter Arguments"),
        ("rsync a b", "no test knows rsync"),
    ],
)
def test_a_command_that_is_wrong_is_found(command: str, fault: str, tmp_path: Path) -> None:
    (found,) = block_faults(Block("bash", "AWS", 1, command), tmp_path)
    assert found.startswith(fault)


@pytest.mark.parametrize("command", ["shardpack pack in out --gpu 16", "python -m packer.trainer --dat shards/"])
def test_an_option_that_is_wrong_is_found(command: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No such option"):
        block_faults(Block("bash", "GPUs", 1, command), tmp_path)


def test_commands_of_a_block() -> None:
    text = "# what it is\na \\\n  b  # c\ncat > f <<'END'\n'open\nEND\nd '\n  e'\n"
    assert list(split_commands(text)) == ["a \\\n  b  # c", "cat > f <<'END'\n'open\nEND", "d '\n  e'"]
    assert words_of("a \\\n  b 'c d'  # e") == ["a", "b", "c d"]
