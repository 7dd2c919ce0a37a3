"""One destination belongs to one plan: who comes second writes nothing, and nobody's other files are touched."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packer.dataset.destination import claim_destination
from packer.dataset.planfile import PlanDocument
from packer.errors import DestinationTakenError, OptionsError, PackerError
from packer.pipeline import pack
from packer.planning.plan import Plan
from packer.prepare import make_plan
from packer.stores.local_store import LocalStore
from packer.stores.store import NO_CLAIM, Buffers, Claim, ObjectInfo
from tests.tools.datasets import (
    ROOT,
    SerialEngine,
    command,
    digests,
    list_keys,
    make_options,
    pack_small,
    read_manifest,
    serial_run,
)

pytestmark = pytest.mark.slow


def plan_of(source: Path, dest: Path, **options) -> tuple[Plan, PlanDocument]:
    return make_plan(serial_run(make_options(source, dest, **options)))


def list_files(dest: Path) -> list[str]:
    """Return the paths of all files; a claim's folder for temporary ones may be there, without any in it."""
    return [key for key in list_keys(dest) if not (dest / key).is_dir()]


class LateEngine(SerialEngine):
    """Packs into the destination from elsewhere at the first task, so what it is passed to comes second."""

    def __init__(self, source: Path, dest: Path, **options) -> None:
        super().__init__()
        self._rival = make_options(source, dest, **options)
        self._is_first = True

    def run(self, function, context, tasks, tick):
        if self._is_first:
            self._is_first = False
            pack(self._rival, engine=SerialEngine())
        return super().run(function, context, tasks, tick)


@pytest.mark.parametrize("seed", [0, 1], ids=["equal options", "other options"])
def test_who_plans_at_the_same_time_and_comes_second_leaves_no_trace(images: Path, tmp_path: Path, seed: int) -> None:
    pack_small(images, tmp_path / "alone")
    with pytest.raises(DestinationTakenError, match="holds a finished data set; replace it with `overwrite=True`"):
        pack(make_options(images, tmp_path / "out", seed=seed), engine=LateEngine(images, tmp_path / "out"))
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


@pytest.mark.parametrize("seed", [0, 1], ids=["equal options", "other options"])
def test_a_claim_between_the_plan_and_its_claim(images: Path, tmp_path: Path, seed: int, monkeypatch) -> None:
    """The rival's claim comes after this run found the place empty and has stored its items."""
    dest = tmp_path / "out"
    winner, loser = plan_of(images, dest), plan_of(images, dest, seed=seed)
    put_if_absent = LocalStore.put_if_absent

    def put_second(store: LocalStore, key: str, buffers) -> bool:
        monkeypatch.setattr(LocalStore, "put_if_absent", put_if_absent)
        claim_destination(LocalStore(dest), *winner, overwrite=False)
        return put_if_absent(store, key, buffers)

    monkeypatch.setattr(LocalStore, "put_if_absent", put_second)
    with pytest.raises(DestinationTakenError, match="holds an unfinished run; go on with `resume=True`"):
        claim_destination(LocalStore(dest), *loser, overwrite=False)
    plan_id = winner[0].plan_id[:16]
    assert list_files(dest) == ["meta/plan.json", f"meta/plan/{plan_id}-train-00000.parquet"]


class Overtaken(LocalStore):
    """A folder that a rival claims just before the first request of one kind."""

    def __init__(self, root: Path, requests: list[str], rival: Callable[[], object], claim: Claim = NO_CLAIM) -> None:
        super().__init__(root, claim)
        self._requests, self._rival = requests, rival

    def claimed(self, claim: Claim) -> LocalStore:
        return Overtaken(Path(self.uri), self._requests, self._rival, claim)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._meet("list")
        return super().list(prefix)

    def put(self, key: str, buffers: Buffers) -> None:
        self._meet("put")
        super().put(key, buffers)

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        self._meet("put_if_absent")
        return super().put_if_absent(key, buffers)

    def _meet(self, request: str) -> None:
        if request in self._requests:
            self._requests.remove(request)
            self._rival()


@pytest.mark.parametrize("request_kind", ["list", "put", "put_if_absent"])
@pytest.mark.parametrize("seed", [0, 1], ids=["equal options", "other options"])
def test_parts_that_start_together(images: Path, tmp_path: Path, seed: int, request_kind: str) -> None:
    """Whenever the other part's claim comes, one of the same plan goes on with it, and no other does."""
    dest = tmp_path / "out"
    first, second = plan_of(images, dest), plan_of(images, dest, seed=seed)
    store = Overtaken(
        dest, [request_kind], lambda: claim_destination(LocalStore(dest), *first, overwrite=False, shared=True)
    )
    if seed == 0:
        claim_destination(store, *second, overwrite=False, shared=True)
    else:
        with pytest.raises(DestinationTakenError, match="holds an unfinished run"):
            claim_destination(store, *second, overwrite=False, shared=True)
    plan_id = first[0].plan_id[:16]
    assert list_files(dest) == ["meta/plan.json", f"meta/plan/{plan_id}-train-00000.parquet"]


@pytest.mark.parametrize("number", [1, 2, 3], ids=["before all", "before the claim is looked for", "after it"])
def test_a_claim_while_the_place_is_looked_at(images: Path, tmp_path: Path, number: int) -> None:
    """Who comes second is told of the first one's run, and not that its files are in the way."""
    dest = tmp_path / "out"
    first, second = plan_of(images, dest), plan_of(images, dest, seed=1)
    calls = iter(range(1, 100))

    def claim_at() -> None:
        if next(calls) == number:
            claim_destination(LocalStore(dest), *first, overwrite=False)

    store = Overtaken(dest, ["list"] * 100, claim_at)
    with pytest.raises(DestinationTakenError, match="holds an unfinished run"):
        claim_destination(store, *second, overwrite=False)


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)], ids=["equal options", "other options"])
def test_two_processes_at_once(images: Path, tmp_path: Path, seeds: tuple[int, int]) -> None:
    processes = [
        subprocess.Popen(
            command("pack", images, tmp_path / "out", "--gpus", 4, "--resize", 24, "--workers", 1, "--seed", seed),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for seed in seeds
    ]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1], errors
    error = errors[codes.index(1)]
    assert error.startswith(f"shardpack: {tmp_path}/out: holds a")
    assert error.count("\n") == 1
    pack_small(images, tmp_path / "alone", seed=seeds[codes.index(0)])
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


def test_a_run_whose_destination_was_taken_over_commits_nothing(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"

    class Rival(SerialEngine):
        """While shards are packed, a rival replaces all of it."""

        def run(self, function, context, tasks, tick):
            yield from super().run(function, context, tasks, tick)
            if hasattr(context, "dest"):
                claim_destination(LocalStore(dest), *plan_of(images, dest, seed=1), overwrite=True)

    with pytest.raises(PackerError, match=r"another run took it over|has no receipt"):
        pack(make_options(images, dest), engine=Rival())
    assert not (dest / "manifest.json").exists()


def test_a_finished_data_set_is_refused_and_stays(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    before = digests(tmp_path / "out")
    for options in ({}, {"seed": 1}):
        with pytest.raises(
            DestinationTakenError, match="holds a finished data set; replace it with `overwrite=True`, or"
        ):
            pack_small(images, tmp_path / "out", **options)
    assert digests(tmp_path / "out") == before


def test_a_taken_destination_is_refused_before_the_source_is_listed(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    with pytest.raises(DestinationTakenError):
        pack_small(tmp_path / "no-such-source", tmp_path / "out")


def test_overwrite_leaves_no_file_of_the_old_data_set(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "fresh", gpus=2)
    pack_small(images, tmp_path / "out", format="recordio", split="train=0.6,val=0.4")
    pack_small(images, tmp_path / "out", gpus=2, overwrite=True)
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


@pytest.mark.parametrize("damage", ["meta/plan.json", "manifest.json"])
def test_overwrite_replaces_a_damaged_data_set(images: Path, tmp_path: Path, damage: str) -> None:
    pack_small(images, tmp_path / "out", split="train=0.8,val=0.2")
    (tmp_path / "out" / damage).write_bytes(b"")
    pack_small(images, tmp_path / "out", overwrite=True)
    assert list(read_manifest(tmp_path / "out").splits) == ["train"]


@pytest.mark.parametrize("name", ["notes.txt", "train/notes.txt", "val/train-00000-of-00004.tfrecord", "other/a.jpg"])
def test_overwrite_refuses_a_folder_with_other_files_before_it_removes_anything(
    images: Path, tmp_path: Path, name: str
) -> None:
    dest = tmp_path / "out"
    pack_small(images, dest)
    (dest / name).parent.mkdir(exist_ok=True)
    (dest / name).write_text("mine")
    before = digests(dest)
    with pytest.raises(OptionsError, match=f"holds {name}, which `overwrite=True` would not remove"):
        pack_small(images, dest, overwrite=True)
    assert digests(dest) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_other_files_is_refused(images: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out/train").mkdir(parents=True)
    (tmp_path / "out/train/notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match=r"`dest`: expected a place that is new or empty, but .* holds train/notes"):
        pack_small(images, tmp_path / "out", overwrite=overwrite)
    assert list_keys(tmp_path / "out") == ["train/notes.txt"]


def test_an_empty_folder_and_a_missing_parent_will_do(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pack_small(images, tmp_path / "empty")
    pack_small(images, tmp_path / "a/b/c")
    assert digests(tmp_path / "empty") == digests(tmp_path / "a/b/c")


def places(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    source = tmp_path / "source"
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "file").write_text("")
    return {
        "inside": (source, source / "out"),
        "the same": (source, source),
        "around": (source / "deep", source),
        "inside by a link": (source, tmp_path / "link/out"),
        "source by a link": (tmp_path / "link", source / "out"),
        "a file": (source, tmp_path / "file"),
        "below a file": (source, tmp_path / "file/out"),
    }


@pytest.mark.parametrize("case", ["inside", "the same", "around", "inside by a link", "source by a link", "a file"])
def test_places_that_cannot_be(tmp_path: Path, case: str) -> None:
    (tmp_path / "source/deep").mkdir(parents=True)
    source, dest = places(tmp_path)[case]
    with pytest.raises(OptionsError, match=r"^`dest`: expected a folder"):
        pack_small(source, dest, overwrite=True)


@pytest.mark.parametrize("form", ["file://{}", "{}/", "{}/../source", "{}/./"])
def test_places_are_compared_however_they_are_written(images: Path, tmp_path: Path, form: str, monkeypatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    monkeypatch.chdir(tmp_path)
    for given in (form.format(source), "source"):
        for dest in (form.format(source / "out"), "source/out"):
            with pytest.raises(OptionsError, match="inside the source"):
                pack_small(given, dest)


def test_a_neighbour_whose_name_begins_alike_is_apart(images: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(images)
    result = pack_small(tmp_path / "photos", tmp_path / "photos-packed")
    assert json.loads((tmp_path / "photos-packed/manifest.json").read_bytes())["plan_id"] == result.manifest.plan_id


def test_places_as_file_uris(images: Path, tmp_path: Path) -> None:
    pack_small(f"file://{images}", f"file://{tmp_path}/out")
    pack_small(images, tmp_path / "path")
    assert digests(tmp_path / "out") == digests(tmp_path / "path")
