import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.cli.main import run
from packer.errors import DataSetError, DestinationTakenError, OptionsError, TooManyRejectsError
from packer.options import parse_options
from packer.pipeline import commit_parts, pack
from packer.planning.layout import PLAN_PARTS_PREFIX, RECEIPTS_PREFIX
from packer.stores.local_store import LocalStore
from packer.stores.store import ObjectInfo
from tests.tools.datasets import (
    SerialEngine,
    command,
    digests,
    list_keys,
    make_options,
    pack_small,
    write_images,
    write_unmeasured_rejects,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("source"), 96)


def pack_part(source: Path, dest: Path, part: str, **options: object) -> None:
    result = pack(make_options(source, dest, part=part, **options), engine=SerialEngine())
    assert result.manifest is None


@pytest.mark.slow
@pytest.mark.parametrize("order", [("0/3", "1/3", "2/3"), ("2/3", "0/3", "1/3")])
def test_parts_in_any_order_give_the_bytes_of_one_run(source: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    split = "train=0.75,val=0.25"
    pack_small(source, tmp_path / "whole", split=split)
    for part in order:
        pack_part(source, tmp_path / "parts", part, split=split)
    commit_parts(str(tmp_path / "parts"))
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


@pytest.mark.slow
def test_parts_as_processes_at_the_same_time(source: Path, tmp_path: Path) -> None:
    options = ("--gpus", 4, "--resize", 24, "--workers", 1)
    pack_small(source, tmp_path / "whole")
    parts = [
        subprocess.Popen(command("pack", source, tmp_path / "parts", *options, "--part", f"{index}/3"))
        for index in range(3)
    ]
    assert [part.wait(timeout=120) for part in parts] == [0, 0, 0]
    assert run(["commit", str(tmp_path / "parts")]) == 0
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


class _EngineOfOneAmongMany(SerialEngine):
    """Before the tasks run, a third run that has lost the claim as well removes its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def run(self, function, context, tasks, tick):
        shutil.rmtree(self._folder, ignore_errors=True)
        return super().run(function, context, tasks, tick)


def test_a_part_does_not_write_in_the_folder_of_another_that_came_second(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "parts"
    pack_part(source, dest, "0/3")
    (own,) = (dest / ".shardpack-tmp").iterdir()
    other = own.with_name(own.name[:-12] + "0" * 12)
    other.mkdir()
    pack(make_options(source, dest, part="1/3"), engine=_EngineOfOneAmongMany(other))
    pack_part(source, dest, "2/3")
    commit_parts(str(dest))
    assert not (dest / ".shardpack-tmp").exists()


def test_a_commit_lists_the_place_once_and_then_what_it_tidies_up(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_part(source, tmp_path / "parts", "0/1")
    listed, own = [], LocalStore.list

    def counted(store: LocalStore, prefix: str = "") -> Iterator[ObjectInfo]:
        listed.append(prefix)
        return own(store, prefix)

    monkeypatch.setattr(LocalStore, "list", counted)
    commit_parts(str(tmp_path / "parts"))
    assert sorted(listed) == ["", PLAN_PARTS_PREFIX, RECEIPTS_PREFIX]


def test_more_parts_than_shards(source: Path, tmp_path: Path) -> None:
    for index in range(6):
        pack_part(source, tmp_path / "parts", f"{index}/6")
    commit_parts(str(tmp_path / "parts"))
    pack_small(source, tmp_path / "whole")
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


def test_a_part_that_is_run_again_keeps_what_it_packed(source: Path, tmp_path: Path) -> None:
    pack_part(source, tmp_path / "parts", "0/2")
    again = pack(make_options(source, tmp_path / "parts", part="0/2"), engine=SerialEngine())
    assert (again.num_shards, again.num_reused) == (2, 2)


def test_a_missing_part_is_named(source: Path, tmp_path: Path) -> None:
    pack_part(source, tmp_path / "parts", "0/2")
    with pytest.raises(DataSetError, match=r"2 of 4 shards are not packed, .* `part=1/2`, then commit"):
        commit_parts(str(tmp_path / "parts"))
    assert "manifest.json" not in list_keys(tmp_path / "parts")


def test_parts_of_other_options_are_refused(source: Path, tmp_path: Path) -> None:
    pack_part(source, tmp_path / "parts", "0/2")
    with pytest.raises(OptionsError, match=r"`quality`: expected 95 .* got 90"):
        pack_part(source, tmp_path / "parts", "1/2", quality=90)


def test_a_run_without_part_does_not_take_over(source: Path, tmp_path: Path) -> None:
    pack_part(source, tmp_path / "parts", "0/2")
    with pytest.raises(DestinationTakenError):
        pack_small(source, tmp_path / "parts")


def test_resume_finishes_what_parts_began(source: Path, tmp_path: Path) -> None:
    pack_part(source, tmp_path / "parts", "0/2")
    result = pack_small(source, tmp_path / "parts", resume=True)
    assert result.num_reused == 2
    pack_small(source, tmp_path / "whole")
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


def test_commit_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="there is no plan"):
        commit_parts(str(tmp_path))


def test_commit_twice(source: Path, tmp_path: Path) -> None:
    for part in ("0/2", "1/2"):
        pack_part(source, tmp_path / "parts", part)
    first = commit_parts(str(tmp_path / "parts"))
    assert commit_parts(str(tmp_path / "parts")).manifest == first.manifest


def test_the_last_receipts_go_even_if_the_commit_was_interrupted(source: Path, tmp_path: Path) -> None:
    for part in ("0/2", "1/2"):
        pack_part(source, tmp_path / "parts", part)
    shutil.copytree(tmp_path / "parts" / "meta" / "receipts", tmp_path / "receipts")
    commit_parts(str(tmp_path / "parts"))
    shutil.copytree(tmp_path / "receipts", tmp_path / "parts" / "meta" / "receipts")
    commit_parts(str(tmp_path / "parts"))
    assert not [key for key in list_keys(tmp_path / "parts") if "receipts" in key]


def test_commit_may_accept_more_rejects_than_the_parts(tmp_path: Path, capsys) -> None:
    """Each part has few enough by itself."""
    source, dest = tmp_path / "source", tmp_path / "parts"
    write_unmeasured_rejects(source, num_rejects=2)
    for part in ("0/2", "1/2"):
        pack_part(source, dest, part, max_rejects=0.02)
    with pytest.raises(
        TooManyRejectsError, match=r"2 of 60 items .* at most 2.00%.* \(after pack `part`: give it to co"
    ):
        commit_parts(str(dest))
    for share in ("2", "nan", "-0.1", "some"):
        assert run(["commit", str(dest), "--max-rejects", share]) == 2
        assert "--max-rejects: expected" in capsys.readouterr().err
    assert "manifest.json" not in list_keys(dest)
    assert run(["commit", str(dest), "--max-rejects", "0.05"]) == 0
    pack_small(source, tmp_path / "whole", max_rejects=0.05)
    found, expected = digests(dest), digests(tmp_path / "whole")
    del found["meta/plan.json"], expected["meta/plan.json"]  # they hold the options as they were given
    assert found == expected


@pytest.mark.parametrize("part", ["1/1", "-1/2", "2", "a/b", "0/0", "1/2/3", ""])
def test_malformed_parts(part: str) -> None:
    with pytest.raises(OptionsError, match="`part`: expected I/N with I from 0 to N-1"):
        parse_options({"source": "s", "dest": "d", "part": part})
