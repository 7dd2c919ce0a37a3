"""Documents gain fields, and old ones stay what they are: their bytes, their ids, and that they can be read."""

import enum
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from packer.cli.main import run
from packer.dataset import manifest, planfile, receipt
from packer.dataset.destination import check_same_options
from packer.dataset.document import Place, decode_versioned, encode_document, encode_signed, lowest_version, since
from packer.dataset.manifest import Manifest, decode_manifest, encode_manifest
from packer.dataset.planfile import PlanDocument, claim, load_plan
from packer.dataset.receipt import Receipt, load_receipt, put_receipt
from packer.errors import DataSetError, NewerVersionError, OptionsError
from packer.options import PackOptions
from packer.packing.assemble import reuse_shard
from packer.plan_request import lasting_options
from packer.planning.layout import MANIFEST_KEY, PLAN_KEY, old_receipt_key, receipt_key
from packer.planning.plan import PlanHeader, digest_of_header
from packer.specs import ImageSpec
from packer.stores.local_store import LocalStore
from tests.tools.golden_sets import FOLDERS, GOLDEN, INTERRUPTED, LISTED, load_sources, options_of

PLACE = Place(name="d.json", remedy="mend it")
STEM = "train-00000-of-00002"


class LaterImage(ImageSpec, frozen=True, kw_only=True):
    sharpen: Annotated[int | UnsetType, since(3)] = UNSET


class LaterManifest(Manifest, frozen=True, kw_only=True):
    image: LaterImage
    licence: Annotated[str | UnsetType, since(4)] = UNSET


class LaterHeader(PlanHeader, frozen=True, kw_only=True):
    image: LaterImage
    curriculum: Annotated[str | UnsetType, since(3)] = UNSET


class LaterPlan(PlanDocument, frozen=True, kw_only=True):
    header: LaterHeader
    planner: Annotated[str | UnsetType, since(3)] = UNSET


class LaterReceipt(Receipt, frozen=True, kw_only=True):
    seconds: Annotated[int | UnsetType, since(3)] = UNSET


class LaterOptions(PackOptions, frozen=True, kw_only=True):
    sharpen: Annotated[int, since(3)] = 0


def make_later(patched: pytest.MonkeyPatch) -> None:
    """Make this a release that knows more fields."""
    patched.setattr(manifest, "Manifest", LaterManifest)
    patched.setattr(manifest, "MANIFEST_VERSION", 4)
    patched.setattr(planfile, "PlanDocument", LaterPlan)
    patched.setattr(planfile, "PLAN_DOCUMENT_VERSION", 3)
    patched.setattr(receipt, "Receipt", LaterReceipt)
    patched.setattr(receipt, "RECEIPT_VERSION", 3)
    for module in ("packer.options", "packer.plan_request", "packer.dataset.planfile"):
        patched.setattr(f"{module}.PackOptions", LaterOptions)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    make_later(monkeypatch)


def old_manifest(name: str = FOLDERS) -> bytes:
    return (GOLDEN / "v1" / name / MANIFEST_KEY).read_bytes()


def old_plan() -> PlanDocument:
    found = load_plan(LocalStore(GOLDEN / "v1" / INTERRUPTED))
    assert found is not None
    return found


def old_receipt() -> Receipt:
    found = load_receipt(LocalStore(GOLDEN / "v1" / INTERRUPTED), STEM, plan_id=old_plan().plan_id)
    assert found is not None
    return found


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("name", [LISTED, FOLDERS])
def test_a_later_release_reads_an_old_manifest_and_would_write_it_so(name: str) -> None:
    found = decode_manifest(old_manifest(name), name="m")
    assert isinstance(found, LaterManifest)
    assert isinstance(found.image, LaterImage)
    assert encode_manifest(found) == old_manifest(name)


@pytest.mark.usefixtures("later")
def test_a_later_release_reads_an_old_plan_and_keeps_its_id() -> None:
    stored = json.loads((GOLDEN / "v1" / INTERRUPTED / PLAN_KEY).read_bytes())
    found = old_plan()
    assert isinstance(found.header, LaterHeader)
    assert found.plan_id == stored["plan_id"]
    assert digest_of_header(msgspec.json.encode(found.header, order="sorted")) == stored["plan_id"]


@pytest.mark.usefixtures("later")
def test_a_later_release_reads_an_old_receipt() -> None:
    assert isinstance(old_receipt(), LaterReceipt)


@pytest.mark.usefixtures("later")
def test_what_is_new_and_not_used_is_not_written(tmp_path: Path) -> None:
    dest = LocalStore(tmp_path)
    assert claim(dest, old_plan(), found=None)
    put_receipt(dest, STEM, old_receipt())
    assert json.loads(dest.get(PLAN_KEY)).keys() == {"version", "digest", "command", *_keys_of_old(PLAN_KEY)}
    assert json.loads(dest.get(PLAN_KEY))["version"] == 1
    written = json.loads(dest.get(receipt_key(old_plan().plan_id, STEM)))
    assert written.keys() == {"version", *_keys_of_old(old_receipt_key(STEM))}
    assert written["version"] == 1


def _keys_of_old(key: str) -> set[str]:
    return set(json.loads((GOLDEN / "v1" / INTERRUPTED / key).read_bytes()))


def test_what_is_new_and_used_is_refused_by_releases_that_do_not_know_it(tmp_path: Path) -> None:
    dest = LocalStore(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        make_later(patched)
        old = decode_manifest(old_manifest(), name="m")
        sharpened = msgspec.structs.replace(old, image=msgspec.structs.replace(old.image, sharpen=3))
        dest.put(MANIFEST_KEY, [encode_manifest(sharpened)])
        assert decode_manifest(dest.get(MANIFEST_KEY), name="m").version == 3
        licensed = msgspec.structs.replace(sharpened, licence="CC0")
        assert decode_manifest(encode_manifest(licensed), name="m").version == 4
        plan = msgspec.structs.replace(old_plan(), planner="me")
        assert claim(dest, plan, found=None)
        assert load_plan(dest).version == 3
        put_receipt(dest, STEM, msgspec.structs.replace(old_receipt(), seconds=3))
        assert load_receipt(dest, STEM, plan_id=plan.plan_id).seconds == 3
    needs = (
        r"expected version 1 to [12], found 3: it needs a newer release of shardpack than this one, 0\.1\.0; upgrade"
    )
    with pytest.raises(NewerVersionError, match=f"^m: {needs}"):
        decode_manifest(dest.get(MANIFEST_KEY), name="m")
    with pytest.raises(NewerVersionError, match=rf"meta/plan\.json: {needs}"):
        load_plan(dest)
    with pytest.raises(NewerVersionError, match=needs):
        load_receipt(dest, STEM, plan_id=plan.plan_id)


def test_a_new_field_in_a_document_of_an_old_version_is_an_edit() -> None:
    edited = {**json.loads(old_manifest()), "licence": "CC0", "digest": ""}
    with pytest.MonkeyPatch.context() as patched:
        make_later(patched)
        with pytest.raises(DataSetError, match="it says version 1 and has what version 4 brought"):
            decode_manifest(signed(edited), name="m")
    with pytest.raises(DataSetError, match="m: .*unknown field `licence`"):
        decode_manifest(signed(edited), name="m")


def signed(document: dict) -> bytes:
    unsigned = msgspec.json.format(msgspec.json.encode({**document, "digest": ""}, order="sorted"), indent=2)
    digest = hashlib.sha256(unsigned).hexdigest()
    return unsigned.replace(b'"digest": ""', f'"digest": "{digest}"'.encode())


def test_the_version_is_looked_at_first() -> None:
    """What a newer version looks like is not known."""
    with pytest.raises(NewerVersionError, match="found 99"):
        decode_manifest(b'{"version": 99, "sets": [1, 2], "digest": {"of": "some"}}', name="m")


@pytest.mark.parametrize("version", ["0", "-1", '"1"', "null", "1.5", "9" * 30])
def test_versions_that_are_none(version: str) -> None:
    data = encode_document(Receipt(**{name: getattr(old_receipt(), name) for name in Receipt.__struct_fields__}))
    with pytest.raises(DataSetError, match=r"^d\.json: "):
        decode_versioned(
            data.replace(b'"version": 1', f'"version": {version}'.encode()), Receipt, newest=1, place=PLACE
        )


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b'{"version": 1}\xff'])
def test_what_is_no_document(text: bytes) -> None:
    for kind in (Manifest, PlanDocument, Receipt):
        with pytest.raises(DataSetError, match=r"^d\.json: .*; mend it$"):
            decode_versioned(text, kind, newest=1, place=PLACE)


def test_each_changed_byte_of_a_signed_document_is_found() -> None:
    data = encode_signed(old_plan())
    decode_versioned(data, PlanDocument, newest=1, place=PLACE)
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(DataSetError):
            decode_versioned(changed, PlanDocument, newest=1, place=PLACE)
    for length in range(0, len(data), 7):
        with pytest.raises(DataSetError):
            decode_versioned(data[:length], PlanDocument, newest=1, place=PLACE)


class _Kind(enum.StrEnum):
    OLD = "old"
    NEW = "new"

    @property
    def since(self) -> int:
        return 4 if self is _Kind.NEW else 1


class _Part(msgspec.Struct, frozen=True):
    kind: _Kind
    note: Annotated[str, since(2)] = ""


class _Whole(msgspec.Struct, frozen=True):
    parts: dict[str, tuple[_Part, ...]]
    depth: Annotated[int | UnsetType, since(3)] = UNSET


@pytest.mark.parametrize(
    ("value", "version"),
    [
        (_Whole({"a": (_Part(_Kind.OLD),)}), 1),
        (_Whole({"a": (_Part(_Kind.OLD), _Part(_Kind.OLD, "n"))}), 2),
        (_Whole({}, depth=0), 3),
        (_Whole({"a": (_Part(_Kind.OLD),), "b": (_Part(_Kind.NEW, "n"),)}, depth=0), 4),
    ],
)
def test_the_lowest_version_is_that_of_the_youngest_thing_in_use(value: _Whole, version: int) -> None:
    assert lowest_version(value) == version


def interrupted(folder: Path) -> Path:
    load_sources("v1")
    return Path(shutil.copytree(GOLDEN / "v1" / INTERRUPTED, folder / "out"))


def resume(dest: Path, **changes: object) -> dict[str, object]:
    """Compare options with the plan's as a resumed run does; return those that a new plan would keep."""
    options = msgspec.convert({**options_of_run(dest), **changes}, LaterOptions, strict=False)
    kept = lasting_options(options)
    found = load_plan(LocalStore(dest))
    assert found is not None
    check_same_options(LocalStore(dest), found, kept)
    return kept


def options_of_run(dest: Path) -> dict[str, object]:
    return msgspec.to_builtins(options_of("v1", INTERRUPTED, dest, resume=True))


@pytest.mark.usefixtures("later")
def test_an_option_that_a_stored_plan_lacks_has_its_default(tmp_path: Path) -> None:
    dest = interrupted(tmp_path)
    assert "sharpen" not in resume(dest)
    with pytest.raises(OptionsError, match="`sharpen`: expected 0 as in the run to be resumed, got 2"):
        resume(dest, sharpen=2)


@pytest.mark.usefixtures("later")
def test_a_plan_with_a_new_option_is_of_the_version_that_brought_it(tmp_path: Path) -> None:
    options = msgspec.convert({**options_of_run(tmp_path), "sharpen": 2}, LaterOptions, strict=False)
    assert claim(
        LocalStore(tmp_path), msgspec.structs.replace(old_plan(), options=lasting_options(options)), found=None
    )
    assert json.loads((tmp_path / PLAN_KEY).read_bytes())["version"] == 3


def test_an_option_that_this_release_does_not_have(tmp_path: Path) -> None:
    old = old_plan()
    plan = msgspec.structs.replace(old, options={**old.options, "sharpen": 2})
    with pytest.raises(DataSetError, match="begun with `sharpen`, an option that this release does not have: go on"):
        check_same_options(LocalStore(tmp_path), plan, dict(old.options))


@pytest.mark.parametrize("rules", [1, 3])
def test_a_plan_by_other_rules_is_not_gone_on_with(tmp_path: Path, rules: int, capsys: pytest.CaptureFixture) -> None:
    """This release would give other bytes; what is finished is read all the same."""
    dest = interrupted(tmp_path)
    text = (dest / PLAN_KEY).read_text().replace('"version": 2', f'"version": {rules}')
    header = msgspec.json.decode(text, type=planfile._Claim).header
    (dest / PLAN_KEY).write_text(text.replace(old_plan().plan_id, digest_of_header(bytes(header))))
    given = options_of("v1", INTERRUPTED, dest)
    shape = ["--gpus", "2", "--split", given.split, "--resize", "24", "--stratify", "--allow-fill"]
    assert run(["pack", given.source, str(dest), *shape, "--max-rejects", "0.1", "--resume"]) == 1
    assert f"planned by rules of version {rules}, expected 2, as others give other bytes: go on with" in (
        capsys.readouterr().err
    )


def test_a_run_that_a_newer_release_went_on_with_is_not_packed_over(tmp_path: Path) -> None:
    dest = interrupted(tmp_path)
    path = dest / old_receipt_key(STEM)
    path.write_bytes(path.read_bytes().replace(b"{", b'{"version":7,', 1))
    with pytest.raises(NewerVersionError, match=rf"{STEM}\.json: expected version 1 to 1, found 7"):
        reuse_shard(LocalStore(dest), old_plan(), 0)


@pytest.mark.parametrize("key", [f"../secret/{STEM}.tfrecord", f"train/../{STEM}.tfrecord", "train/other.tfrecord"])
def test_a_receipt_vouches_for_its_own_shard(tmp_path: Path, key: str) -> None:
    dest = interrupted(tmp_path)
    path = dest / old_receipt_key(STEM)
    path.write_bytes(path.read_bytes().replace(f'"train/{STEM}.tfrecord"'.encode(), json.dumps(key).encode()))
    with pytest.raises(
        DataSetError, match=f"expected the receipt of {STEM}, found '{key}'; delete it, then `resume=True`"
    ):
        load_receipt(LocalStore(dest), STEM, plan_id=old_plan().plan_id)
    assert reuse_shard(LocalStore(dest), old_plan(), 0) is None


def test_a_header_that_was_edited_in_a_plan_without_a_digest(tmp_path: Path) -> None:
    path = interrupted(tmp_path) / PLAN_KEY
    path.write_text(re.sub(r'("mean_record_bytes": )\d+', r"\g<1>7", path.read_text()))
    with pytest.raises(DataSetError, match="its plan_id does not fit its header; start anew with `overwrite=True`"):
        load_plan(LocalStore(tmp_path / "out"))


def test_a_manifest_without_its_digest() -> None:
    unsigned = json.loads(old_manifest())
    del unsigned["digest"]
    with pytest.raises(DataSetError, match="m: edited after it was written: it has no digest"):
        decode_manifest(json.dumps(unsigned).encode(), name="m")
