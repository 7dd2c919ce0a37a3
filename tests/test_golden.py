"""Data sets that earlier releases wrote open for ever, and runs that they began go on."""

import json
import shutil
from pathlib import Path

import pyarrow
import pytest

from packer.cli.main import run
from packer.dataset.manifest import decode_manifest, encode_manifest
from packer.dataset.planfile import load_plan
from packer.errors import EncoderMismatchError, OptionsError
from packer.imaging.fingerprint import encoder_digest
from packer.loading.loader import Loader
from packer.packing.encoder import _own_digest
from packer.pipeline import pack
from packer.planning.layout import COPIES_KEY
from packer.progress import SilentProgress
from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.resharding import reshard
from packer.stores.local_store import LocalStore
from packer.verifying import verify
from tests.tools.datasets import SerialEngine, digests, read_manifest, read_records
from tests.tools.golden_sets import (
    COPY_INTERRUPTED,
    FIELDS,
    GOLDEN,
    INTERRUPTED,
    WHOLE_SETS,
    digests_file,
    load_sources,
    options_of,
)

VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
WHOLE = [(version, name) for version in VERSIONS for name in WHOLE_SETS[version]]
whole_sets = pytest.mark.parametrize(("version", "name"), WHOLE)
all_versions = pytest.mark.parametrize("version", VERSIONS)


def test_there_are_some() -> None:
    assert list(WHOLE_SETS) == VERSIONS


def has_same_encoder(dest: Path) -> bool:
    """Say whether the image libraries here are those that a set was packed with; others give other bytes."""
    document = load_plan(LocalStore(dest))
    assert document is not None
    return encoder_digest(document.header.image) == document.encoder.sha256


def assert_same_files(version: str, found: dict[str, str], expected: dict[str, str]) -> None:
    """Compare digests of files, of Parquet files only where the same release of Arrow writes them.

    All of these sets have exact copies, which releases after 0.1.0 list beside what that one wrote.
    """
    if version == "v1":
        assert found.pop(COPIES_KEY)
    wrote = json.loads((GOLDEN / version / WHOLE_SETS[version][0] / "meta/run.json").read_text())["versions"]["pyarrow"]
    if wrote != pyarrow.__version__:
        found = {key: digest for key, digest in found.items() if not key.endswith(".parquet")}
        expected = {key: digest for key, digest in expected.items() if not key.endswith(".parquet")}
    assert found == expected


@whole_sets
def test_it_is_verified(version: str, name: str) -> None:
    report = verify(str(GOLDEN / version / name), SerialEngine(), SilentProgress(), decode=True)
    assert report.faults == ()
    assert report.num_shards == 4


@whole_sets
def test_it_is_inspected(version: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(GOLDEN / version / name), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    manifest = json.loads((GOLDEN / version / name / "manifest.json").read_bytes())
    assert shown["plan_id"] == manifest["plan_id"]
    assert f"v{manifest['version']}" == version


@whole_sets
def test_its_manifest_is_still_written_so(version: str, name: str) -> None:
    data = (GOLDEN / version / name / "manifest.json").read_bytes()
    assert encode_manifest(decode_manifest(data, name="manifest.json")) == data


@whole_sets
def test_each_rank_reads_its_records(version: str, name: str) -> None:
    dest = GOLDEN / version / name
    dataset = open_dataset(str(dest))
    for split, entry in dataset.manifest.splits.items():
        read = [s for rank in (0, 1) for s in iter_samples(dataset, split, ReadSpec(rank=rank, world=2))]
        rows = [row for shard in entry.shards for row in read_records(dest, shard.key)]
        assert len(read) == entry.num_records == len(rows)
        found = sorted((sample.key, as_list(sample.label)) for sample in read)
        assert found == sorted((row["key"] if found[0][0] else "", as_list(row["label"])) for row in rows)


def as_list(label: object) -> list:
    return list(label) if isinstance(label, tuple | list) else [label]


@whole_sets
def test_it_is_trained_on(version: str, name: str) -> None:
    uri = str(GOLDEN / version / name)
    with Loader(uri, "train", batch_size=2, image_px=16, rank=1, world=2, where="process") as loader:
        for _, batch in zip(range(loader.steps), loader, strict=False):
            assert batch.images.shape == (2, 16, 16, 3)
            assert batch.images.std() > 1


@all_versions
def test_the_same_options_still_give_its_bytes(version: str, tmp_path: Path) -> None:
    for name in WHOLE_SETS[version]:
        golden, dest = GOLDEN / version / name, tmp_path / name
        if not has_same_encoder(golden):
            continue
        load_sources(version)
        pack(options_of(version, name, dest), engine=SerialEngine())
        found, expected = digests(dest), digests(golden)
        del found["meta/plan.json"], expected["meta/plan.json"]  # it may hold what other releases add
        assert_same_files(version, found, expected)


@all_versions
def test_an_interrupted_run_is_finished(version: str, tmp_path: Path) -> None:
    dest = Path(shutil.copytree(GOLDEN / version / INTERRUPTED, tmp_path / "out"))
    load_sources(version)
    _own_digest.cache_clear()
    options = options_of(version, INTERRUPTED, dest, resume=True)
    if not has_same_encoder(dest):
        with pytest.raises(EncoderMismatchError, match="install the same versions"):
            pack(options, engine=SerialEngine())
        return
    assert pack(options, engine=SerialEngine()).num_reused == 3
    assert_same_files(version, digests(dest), json.loads(digests_file(version, INTERRUPTED).read_text()))


@all_versions
def test_an_interrupted_copy_is_finished(version: str, tmp_path: Path) -> None:
    """Whatever the image libraries: they are not asked."""
    dest = Path(shutil.copytree(GOLDEN / version / COPY_INTERRUPTED, tmp_path / "out"))
    load_sources(version)
    result = reshard(options_of(version, COPY_INTERRUPTED, dest, resume=True), engine=SerialEngine())
    assert result.num_reused == 3
    assert_same_files(version, digests(dest), json.loads(digests_file(version, COPY_INTERRUPTED).read_text()))


@all_versions
def test_it_is_copied(version: str, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    load_sources(version)
    reshard(options_of(version, COPY_INTERRUPTED, dest), engine=SerialEngine())
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()
    found, expected = digests(dest), json.loads(digests_file(version, COPY_INTERRUPTED).read_text())
    assert found.pop("meta/plan.json")
    assert expected.pop("meta/plan.json")  # it may hold what other releases add
    assert_same_files(version, found, expected)
    assert read_manifest(dest).plan_id.startswith(next(dest.glob("meta/plan/*")).name.partition("-")[0])


def test_its_fields_are_read_from_an_original_and_its_copy(tmp_path: Path) -> None:
    """Of version 2: boxes, masks, key points and texts, as many and the same as in the listing."""
    load_sources("v2")
    reshard(options_of("v2", COPY_INTERRUPTED, tmp_path / "out"), engine=SerialEngine())
    rows = {row["path"]: row for row in map(json.loads, (GOLDEN / "v2/images.jsonl").read_text().splitlines())}
    for uri in (GOLDEN / "v2" / FIELDS, tmp_path / "out"):
        dataset = open_dataset(str(uri))
        read = [sample for split in ("train", "val") for sample in iter_samples(dataset, split, ReadSpec())]
        assert {sample.key for sample in read} == rows.keys() - {"images/ant/copy.jpg", "images/bee/broken.jpg"}
        for sample in read:
            row = rows[sample.key]
            corners = sample.extras.get("object", ())
            assert isinstance(corners, tuple)
            assert len(corners) == 4 * len(row["boxes"])
            assert sample.extras["caption"] == tuple(row["words"])
            assert sample.extras["pose_visible"] == (2, 0)
            assert len(sample.pictures["segment"].encoded) > 50


@all_versions
def test_other_options_are_still_refused(version: str, tmp_path: Path) -> None:
    dest = Path(shutil.copytree(GOLDEN / version / INTERRUPTED, tmp_path / "out"))
    with pytest.raises(OptionsError, match="`seed`: expected 0 as in the run to be resumed, got 1"):
        pack(options_of(version, INTERRUPTED, dest, resume=True, seed=1), engine=SerialEngine())
