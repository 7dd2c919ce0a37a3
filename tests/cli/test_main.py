"""The command line from outside: exit codes, what goes where, and messages that can be acted on."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from packer.cli.main import run
from tests.cli.commands import shardpack
from tests.tools.datasets import ROOT, command, digests, read_manifest, run_command, write_images

pytestmark = pytest.mark.slow

SMALL = ("--gpus", "4", "--resize", "24", "--workers", "1")


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("packed") / "out"
    assert run(["pack", str(images), str(dest), *SMALL]) == 0
    return dest


# --- what is done -------------------------------------------------------------------------------------------------


def test_from_source_to_verified_data_set(images: Path, tmp_path: Path, capfd) -> None:
    dest = tmp_path / "out"
    code, out, errors = shardpack(
        capfd, "pack", images, dest, *SMALL, "--format", "recordio", "--split", "train=0.8,val=0.2"
    )
    assert (code, errors) == (0, "")
    assert "train       48       4" in out
    assert f"{dest}: recordio, for 4 GPUs, 3 classes" in out
    code, out, errors = shardpack(capfd, "verify", dest, "--decode")
    assert (code, errors) == (0, "")
    assert "8 shards, 60 records" in out
    assert "every byte is as the manifest says" in out
    code, out, errors = shardpack(capfd, "inspect", dest)
    assert (code, errors) == (0, "")
    assert "rejected: none" in out


def test_plan_writes_nothing(images: Path, tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for dest in ((), (tmp_path / "out",)):
        code, out, _ = shardpack(capfd, "plan", images, *dest, *SMALL)
        assert code == 0
        assert "nothing was written" in out
    assert list(tmp_path.iterdir()) == []


def test_plan_of_the_folder_that_one_is_in(images: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    code, out, errors = shardpack(capfd, "plan", ".", *SMALL)
    assert (code, errors) == (0, "")
    assert "nothing was written" in out


def test_the_plan_is_the_one_that_is_packed(images: Path, packed: Path, capfd) -> None:
    _, out, _ = shardpack(capfd, "plan", images, *SMALL, "--json")
    assert json.loads(out)["plan_id"] == read_manifest(packed).plan_id


def last_json(out: str) -> dict:
    document: dict = json.loads(out.splitlines()[-1])
    return document


def test_json_is_the_last_line_of_every_command(images: Path, packed: Path, tmp_path: Path, capfd) -> None:
    code, out, _ = shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--json")
    document = last_json(out)
    assert code == 0
    assert document["splits"]["train"] | {"num_bytes": 0} == {
        "num_records": 60, "num_fills": 0, "num_shards": 4, "num_bytes": 0,
    }  # fmt: skip
    assert document["digest"] == read_manifest(packed).digest
    assert last_json(shardpack(capfd, "inspect", packed, "--json")[1])["num_classes"] == 3
    assert last_json(shardpack(capfd, "plan", images, *SMALL, "--json")[1])["splits"][0]["num_items"] == 60
    assert last_json(shardpack(capfd, "verify", packed, "--json")[1])["ok"] is True
    assert last_json(shardpack(capfd, "reshard", packed, tmp_path / "two", "--gpus", 2, "--json")[1])["world"] == 2


@pytest.mark.parametrize("name", ["pack", "plan", "verify", "inspect", "reshard"])
def test_json_on_errors_too(name: str, tmp_path: Path, capfd) -> None:
    dest = (tmp_path / "out",) if name in ("pack", "plan", "reshard") else ()
    code, out, errors = shardpack(capfd, name, tmp_path / "nothing", *dest, "--json")
    assert code == 2
    document = last_json(out)
    assert (document["ok"], document["exit_code"]) == (False, 2)
    assert errors == f"shardpack: {document['error']}\n"


def test_nothing_but_json_on_standard_output(images: Path, tmp_path: Path) -> None:
    (tmp_path / "source").symlink_to(images)
    done = run_command("pack", tmp_path / "source", tmp_path / "out", *SMALL, "--json")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["dest"] == f"{tmp_path}/out"


# --- configuration files ------------------------------------------------------------------------------------------

MAPPING = "gpus: 2\nresize: 24\nsplit: {train: 0.8, val: 0.2}\ntags: {team: vision}\nworkers: 1\n"
YAML = "gpus: 2\nresize: 24\nsplit: train=0.8,val=0.2\nworkers: 1\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pack.yaml", YAML),
        ("mapping.yaml", MAPPING),
        ("pack.yml", "# ours\n" + YAML.replace("resize: 24", "resize: '24'") + "max-rejects: 0.05\n"),
        ("pack.json", '{"gpus": 2, "resize": "24", "split": "train=0.8,val=0.2", "workers": 1}'),
        ("pack", '{"gpus": "2", "resize": 24, "split": "train=0.8,val=0.2", "workers": null, "stratify": false}'),
    ],
)
def test_config_files(images: Path, tmp_path: Path, capfd, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    code, _, errors = shardpack(capfd, "pack", images, tmp_path / "out", "--config", tmp_path / name)
    assert (code, errors) == (0, "")
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.world, manifest.image.width) == (2, 24)
    assert manifest.splits["val"].num_records == 12


def test_the_command_line_wins_over_the_file(images: Path, tmp_path: Path, capfd) -> None:
    (tmp_path / "pack.yaml").write_text(f"{YAML}source: nowhere\ndest: nowhere\nstratify: true\nallow-fill: true\n")
    code, _, errors = shardpack(
        capfd, "pack", images, tmp_path / "out", "--config", tmp_path / "pack.yaml", "--gpus", 3, "--no-stratify"
    )
    assert (code, errors) == (0, "")
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.world, manifest.stratify, manifest.image.width) == (3, False, 24)


def test_all_may_stand_in_the_file(images: Path, tmp_path: Path, capfd) -> None:
    (tmp_path / "pack.yaml").write_text(f"{YAML}source: {images}\ndest: {tmp_path}/out\n")
    assert shardpack(capfd, "pack", "--config", tmp_path / "pack.yaml")[0] == 0
    assert read_manifest(tmp_path / "out").world == 2


WRONG_FILES = {
    "unknown: 1": r"unknown: no such option; expected one of allow_fill, ",
    "worker: 2\ngpus: 4": r"--config: .*pack\.yaml: worker: no such option; did you mean workers\?$",
    "gpus: many": r"--gpus: expected a whole number, got 'many'",
    "gpus: [1]": r"--gpus: expected a whole number, got \[1\]",
    "stratify: sometimes": r"--stratify: expected true or false, got 'sometimes'",
    "split: [train]": r"--split: expected text, got \['train'\]",
    "split: {train: 0.5}": r"--split: expected shares that sum to 1, got 'train=0\.5'",
    "- a\n- b": r"--config: expected a mapping of options in .*, got list",
    "": r"--config: expected a mapping of options in .*, got NoneType",
    "gpus: [": r"--config: .* is not YAML or JSON: .*line 1",
    "\x00": r"--config: .* is not YAML or JSON",
    'dest: "a\\0b"\nsource: x': r"DEST: expected text in UTF-8 without zero bytes, got 'a\\x00b'",
    "source: 5\ndest: [x]": r"DEST: expected text, got \['x'\]",
}


@pytest.mark.parametrize(("text", "expected"), WRONG_FILES.items())
def test_wrong_config_files(tmp_path: Path, capfd, text: str, expected: str) -> None:
    (tmp_path / "pack.yaml").write_text(text)
    places = () if "dest" in text else (tmp_path / "source", tmp_path / "out")
    code, out, errors = shardpack(capfd, "pack", *places, "--config", tmp_path / "pack.yaml")
    assert (code, out, errors.count("\n")) == (2, "", 1), errors
    assert re.search(expected, errors), errors


def test_config_files_that_cannot_be_read(tmp_path: Path, capfd) -> None:
    (tmp_path / "latin").write_bytes(b"source: caf\xe9")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin"):
        code, _, errors = shardpack(capfd, "pack", "a", "b", "--config", path)
        assert (code, errors.count("\n")) == (2, 1)
        assert errors.startswith(f"shardpack: --config: {path} cannot be read: ")


# --- what is refused ----------------------------------------------------------------------------------------------

WRONG_OPTIONS = {
    "--gpus 0": r"--gpus: expected a whole number of at least 1, got 0",
    "--gpus x": r"--gpus: expected a whole number, got 'x'",
    "--gpus 1.5": r"--gpus: expected a whole number, got '1\.5'",
    "--instances 0": r"--instances: expected a whole number of at least 1, got '0'",
    "--instances 2 --gpus 3": r"--gpus: expected 2 \(--instances x --gpus-per-instance\) or none, got 3",
    "--gpus 99999999999999999999": r"--gpus: expected .*, got",
    "--format zip": r"--format: expected one of tfrecord, recordio.*, got 'zip'",
    "--shard-size 1": r"--shard-size: expected 1MB to 128MB, got '1'",
    "--shard-size 129MB": r"--shard-size: expected 1MB to 128MB, got '129MB'",
    "--shard-size huge": r"--shard-size: expected a size such as 100MB or 64MiB, got 'huge'",
    "--split train": r"--split: expected name=share pairs such as train=0\.9,val=0\.1, got 'train'",
    "--split train=0.5": r"--split: expected shares that sum to 1, got 'train=0\.5', which sums to 0\.5",
    "--split train=0.5,train=0.5": r"--split: expected each name once",
    "--split Train=1": r"--split: expected names of splits of .*, got 'Train'",
    "--split meta=1": r"--split: .*not 'meta', got 'meta'",
    "--split train=1e-999999999": r"--split: expected name=share pairs",
    "--split train=2,val=-1": r"--split: expected name=share pairs",
    "--split ''": r"--split: expected",
    "--seed x": r"--seed: expected a whole number, got 'x'",
    "--seed 99999999999999999999": r"--seed: expected a whole number of at most 64 bits, got",
    "--resize 0": r"--resize: expected N or WxH in pixels, such as 256 or 256x256, got '0'",
    "--resize 12x": r"--resize: expected N or WxH",
    "--resize 24x24 --fit short": r"--fit: expected cover, contain or stretch with --resize 24x24, got short",
    "--fit round": r"--fit: expected one of short, long, cover, contain, stretch, got 'round'",
    "--encode jpg": r"--encode: expected one of jpeg, png, webp, keep, got 'jpg'; did you mean jpeg\?$",
    "--encode tiff": r"--encode: expected one of jpeg, png, webp, keep, got 'tiff'",
    "--quality 0": r"--quality: expected a whole number from 1 to 100, got '0'",
    "--quality 101": r"--quality: expected a whole number from 1 to 100, got '101'",
    "--max-pixels 0": r"--max-pixels: expected a whole number of at least 1, got '0'",
    "--workers 0": r"--workers: expected a whole number of at least 1, got 0",
    "--engine dask": r"--engine: expected one of local, spark, got 'dask'",
    "--on-reject cry": r"--on-reject: expected one of fill, skip, fail, got 'cry'",
    "--on-reject skip": r"--on-reject: expected fill or fail for a training split, got skip",
    "--max-rejects 2": r"--max-rejects: expected a number from 0 to 1, got '2'",
    "--max-rejects -1": r"--max-rejects: expected a number from 0 to 1, got '-1'",
    "--max-rejects nan": r"--max-rejects: expected .*, got 'nan'",
    "--resume --overwrite": r"--resume: expected without --overwrite",
    "--part 4/4": r"--part: expected I/N with I from 0 to N-1",
    "--group-column nope": r"--group-column: expected a column of the source \(key, num_bytes, label\), got 'nope'",
    "--label-column nope": r"--label-column",
    "--flat --stratify": r"--stratify: expected class labels, and the source has no labels; put the images into one",
    "--worker 2": r"No such option: --worker; did you mean --workers\?$",
    "--no-such-option": r"[Nn]o such option.*--no-such-option",
    "--gpus": r"Option '--gpus' requires an argument",
    "extra": r"Got unexpected extra argument",
}


@pytest.mark.parametrize(("options", "expected"), WRONG_OPTIONS.items(), ids=WRONG_OPTIONS.keys())
@pytest.mark.parametrize("name", ["pack", "plan"])
def test_wrong_options(images: Path, tmp_path: Path, capfd, name: str, options: str, expected: str) -> None:
    arguments = [argument.strip("'") for argument in options.split(" ")]
    small = () if "--gpus" in options or "--instances" in options else ("--gpus", "4")
    code, out, errors = shardpack(capfd, name, images, tmp_path / "out", *small, *arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1), errors
    assert re.match(f"shardpack: {expected}", errors), errors
    assert not (tmp_path / "out").exists()


def write_text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    return folder


def test_sources_that_are_none(tmp_path: Path, capfd) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.xyz").write_text("?")
    (tmp_path / "list.csv").write_text("path,label\n")
    bad = tmp_path / "bad"
    bad.mkdir()
    for number in range(9):
        (bad / f"{number}.jpg").write_bytes(b"no image")
    cases = {
        tmp_path / "nowhere": "no such file or folder",
        tmp_path / "empty": "nothing in it: expected files such as .jpg",
        write_text(
            tmp_path / "texts"
        ): "nothing in it: expected files such as .jpg, .png or .webp; skipped 1 file not named",
        tmp_path / "some.xyz": "not a kind of source",
        tmp_path / "list.csv": "nothing in it: expected one row per image",
        bad: "none of the first 9 items could be packed; .*not_an_image",
    }
    for source, expected in cases.items():
        for name in ("pack", "plan"):
            code, out, errors = shardpack(capfd, name, source, tmp_path / "out", "--workers", 1)
            assert (code, out, errors.count("\n")) == (2, "", 1), errors
            assert errors.startswith(f"shardpack: {source}: ")
            assert re.search(expected, errors), errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [("pack",), ("pack", "photos"), ("plan",), ("verify",), ("inspect",), ("reshard", "a")]
)
def test_missing_arguments(capfd, arguments: tuple[str, ...]) -> None:
    code, out, errors = shardpack(capfd, *arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert re.search("SOURCE|DEST", errors)


def test_an_unknown_command(capfd) -> None:
    code, _, errors = shardpack(capfd, "unpack", "a")
    assert (code, errors.count("\n")) == (2, 1)
    assert "unpack" in errors


@pytest.mark.parametrize("name", ["verify", "inspect", "commit"])
def test_a_folder_that_is_no_data_set(tmp_path: Path, capfd, name: str) -> None:
    code, out, errors = shardpack(capfd, name, tmp_path)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(f"shardpack: {tmp_path}: expected ")


def test_a_damaged_manifest(images: Path, tmp_path: Path, capfd) -> None:
    assert shardpack(capfd, "pack", images, tmp_path / "out", *SMALL)[0] == 0
    manifest = tmp_path / "out/manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    for name in ("verify", "inspect"):
        code, out, errors = shardpack(capfd, name, tmp_path / "out")
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert f"{manifest}: not what this version writes there" in errors


def test_a_destination_that_cannot_be_written(images: Path, tmp_path: Path, capfd) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = shardpack(capfd, "pack", images, tmp_path / "file/out", *SMALL)
    assert code in (1, 2)
    assert errors.count("\n") == 1
    assert f"{tmp_path}/file" in errors


def test_a_finished_data_set(images: Path, packed: Path, capfd) -> None:
    code, _, errors = shardpack(capfd, "pack", images, packed, *SMALL)
    assert code == 1
    assert (
        errors
        == f"shardpack: {packed}: holds a finished data set; replace it with --overwrite, or choose another DEST\n"
    )
    assert shardpack(capfd, "pack", images, packed, *SMALL, "--resume")[0] == 0


# --- as a process -------------------------------------------------------------------------------------------------


def test_help_and_its_examples(capfd) -> None:
    code, out, _ = shardpack(capfd, "--help")
    assert code == 0
    assert all(name in out for name in ("pack", "plan", "verify", "inspect", "reshard"))
    code, out, _ = shardpack(capfd, "pack", "--help")
    assert code == 0
    assert "shardpack pack photos/ shards/ --instances 2 --gpus-per-instance 8" in out
    assert "--shard-size SIZE" in out
    assert "[default: 100MB]" in out
    assert "Traceback" not in run_command().stderr


def test_exit_codes_of_a_process(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    assert run_command("pack", images, dest, *SMALL).returncode == 0
    assert run_command("pack", images, dest, *SMALL).returncode == 1
    assert run_command("pack", images, dest, "--gpus", 0).returncode == 2
    (dest / "train").joinpath("extra").touch()
    found = run_command("verify", dest, "--workers", 1)
    assert (found.returncode, found.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [("inspect",), ("inspect", "--json"), ("verify", "--json", "--workers", "1")])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_goes_away(packed: Path, arguments: tuple[str, ...], reader: str) -> None:
    name, *options = arguments
    words = " ".join(f"'{word}'" for word in command(name, packed, *options))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | {reader}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_help_to_a_reader_that_goes_away() -> None:
    words = " ".join(f"'{word}'" for word in command("pack", "--help"))
    done = subprocess.run(["bash", "-c", f"{words} | true"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_closed_standard_output(packed: Path) -> None:
    words = " ".join(f"'{word}'" for word in command("inspect", packed))
    done = subprocess.run(["bash", "-c", f"{words} >&-"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_full_disk_under_standard_output(packed: Path) -> None:
    words = " ".join(f"'{word}'" for word in command("inspect", packed, "--json"))
    done = subprocess.run(["bash", "-c", f"{words} > /dev/full"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_tables_are_not_cut_where_there_is_no_terminal(images: Path, tmp_path: Path) -> None:
    done = run_command("plan", images, *SMALL, env={"PATH": "/usr/bin:/bin", "COLUMNS": "30"})
    assert done.returncode == 0, done.stderr
    assert "records a shard" in done.stdout.splitlines()[0]
    assert "…" not in done.stdout


def test_names_that_are_not_utf8(images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*command("pack", images)[:-1], str(images), str(tmp_path).encode() + b"/\xff", *SMALL],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "DEST: expected" in done.stderr


def test_a_source_with_a_name_that_needs_care(tmp_path: Path) -> None:
    source = write_images(tmp_path / "ünï 'quoted' [x] %41 ~", 12)
    for format_name in ("tfrecord", "recordio"):
        dest = tmp_path / f"out [{format_name}] ✓"
        done = run_command("pack", source, dest, *SMALL, "--format", format_name)
        assert done.returncode == 0, done.stderr
        assert str(dest) in done.stdout
        assert run_command("verify", dest).returncode == 0
        assert len(digests(dest)) > 10
