"""Input that was made to break the reader: one line and exit code 2, soon and in little memory."""

import itertools
from pathlib import Path

import pytest

from tests.test_parsing import DEEP, DIGITS, bomb
from tests.tools.limited_run import refuse, run_limited

pytestmark = pytest.mark.slow


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write(tmp_path / "photos/a.jpg", b"\xff\xd8")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("l.jsonl", b'{"path": "a.jpg", "label": ' + DEEP + b"}\n"),
        ("l.jsonl", b'{"path": "a.jpg", "x": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001 + b"\n"),
        ("l.jsonl", b'{"path": "a.jpg"}\nwords\n' + DEEP + b"\n"),
        ("l.manifest", b'{"source-ref": "a.jpg", "label": ' + DEEP + b"}\n"),
        ("l.jsonl", b'{"path": "a.jpg", "label": ' + DIGITS + b"}\n"),
        ("l.lst", DIGITS + b"\t0\ta.jpg\n"),
        ("manifest.json", b'{"files": ' + DEEP + b"}"),
        ("manifest.json", b'{"files": ' + DIGITS + b"}"),
    ],
)
def test_listings(photo: Path, name: str, data: bytes) -> None:
    path = write(photo.parent / name, data)
    assert str(path) in refuse("plan", path, "--gpus", "1")


@pytest.mark.parametrize("option", ["--class-map", "--config"])
@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("data", [DEEP, b'{"seed": ' + DIGITS + b"}", b'{"' + DIGITS + b'": ["a", "b"]}', bomb()])
def test_side_inputs(photo: Path, tmp_path: Path, option: str, suffix: str, data: bytes) -> None:
    path = write(tmp_path / f"side.{suffix}", data)
    assert option in refuse("plan", photo.parent, "--gpus", "1", option, path)


@pytest.mark.parametrize("option", ["--class-map", "--config"])
def test_side_inputs_without_end(photo: Path, option: str) -> None:
    assert "expected a file, found a pipe, a device" in refuse("plan", photo.parent, "--gpus", "1", option, "/dev/zero")


@pytest.mark.parametrize(
    ("option", "value"),
    [*itertools.product(["--seed", "--shard-size", "--max-rejects", "--resize", "--gpus", "--timeout"], ["9" * 5_000])],
)
def test_options_of_thousands_of_digits(photo: Path, option: str, value: str) -> None:
    assert option in refuse("plan", photo.parent, option, value)


@pytest.mark.parametrize("data", [DEEP, b'{"x": ' + DEEP + b"}", b'{"version": ' + DIGITS + b"}"])
def test_documents_of_a_data_set(tmp_path: Path, photo: Path, data: bytes) -> None:
    write(tmp_path / "set/manifest.json", data)
    assert "manifest.json" in refuse("inspect", tmp_path / "set", code=1)
    write(tmp_path / "run/meta/plan.json", data)
    resume = ("pack", photo.parent, tmp_path / "run", "--gpus", "1", "--resume")
    assert "plan.json" in refuse(*resume, code=1)


@pytest.mark.parametrize("data", [b'{"TrainingJobName": ' + DEEP + b"}", b'{"TrainingJobName": ' + DIGITS + b"}"])
def test_requests_for_sagemaker(tmp_path: Path, data: bytes) -> None:
    assert "job.json" in refuse("sagemaker", "--check", write(tmp_path / "job.json", data))


NAME = "a\x1b[2J\x07\x9b\u202e\r\n.jpg"
QUERY = "X-Amz-Credential=AKIA&X-Amz-Signature=0123456789abcdef"


def test_names_from_outside_are_escaped(photo: Path) -> None:
    (photo.parent / NAME).write_bytes(b"x")
    (photo.parent / f"{NAME}.txt").write_bytes(b"x")
    for arguments in (("plan", photo.parent, "--gpus", "1"), ("plan", photo.parent, "--gpus", "1", "--json")):
        run = run_limited(*arguments)
        assert run.code == 2
        assert r"a\x1b[2J" in run.errors
        assert all(line.isprintable() for line in (run.out + run.errors).split("\n"))
    assert refuse("plan", photo.parent / f"{NAME}.zip", "--gpus", "1").rstrip("\n").isprintable()
    assert refuse("plan", photo.parent, f"--{NAME}").rstrip("\n").isprintable()


@pytest.mark.parametrize("option", ["--class-map", "--config", "--root", "SOURCE", "rows", "in the config"])
def test_presigned_urls_lose_their_query(photo: Path, tmp_path: Path, option: str) -> None:
    url = f"https://127.0.0.1:9/data/a.csv?{QUERY}"
    listing = write(tmp_path / "l.csv", f"path,label\n{url if option == 'rows' else 'a.jpg'},1\n".encode())
    arguments: list[object] = ["plan", url if option == "SOURCE" else listing, "--gpus", "1", "--json"]
    if option.startswith("--"):
        arguments += [option, url]
    if option == "in the config":
        arguments += ["--config", write(tmp_path / "c.yaml", f"class_map: {url}\nseed: {url}\n".encode())]
    run = run_limited(*arguments)
    assert run.code in (1, 2)
    assert "Signature" not in run.out + run.errors
    assert "127.0.0.1" in run.errors or "no user, password or query" in run.errors
