import hashlib
import json

import msgspec
import pytest

from packer.errors import DataSetError
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store
from packer.trainer.core.checkpoints import CheckpointDocument, Checkpoints, Identity
from packer.trainer.core.metrics import EvaluationResult
from packer.trainer.core.progress_state import TrainingProgress

IDENTITY = Identity(framework="torch", model="small", manifest_digest="a" * 64, split="train")


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    return open_there(tmp_path, warnings)


def open_there(root, warnings, identity=IDENTITY, store=DEFAULT_STORE):
    return Checkpoints(str(root), store, identity, warnings.append)


def save(checkpoints, step, *, accuracy=None, keep=2):
    state = f"state {step}".encode()
    document = CheckpointDocument(
        **msgspec.structs.asdict(IDENTITY),
        batch_size=16,
        world=2,
        progress=TrainingProgress(epoch=1, position=16 * step, steps_done=step),
        is_epoch_end=False,
        loader={"position": 16 * step},
        state_key=f"checkpoints/step-{step:08d}.torch",
        **checkpoints_digest(state),
    )
    checkpoints.save(document, state, keep=keep)
    if accuracy is not None:
        result = EvaluationResult(loss=1.0, accuracy=accuracy, records=9, steps=1)
        checkpoints.put_document(msgspec.structs.replace(document, evaluation=result))
    return document


def checkpoints_digest(state):
    return {"state_bytes": len(state), "state_sha256": hashlib.sha256(state).hexdigest()}


def names(root):
    return sorted(path.name for path in root.glob("checkpoints/*"))


def test_there_is_none_at_first(checkpoints, warnings):
    assert checkpoints.newest() is None
    assert warnings == []


def test_the_newest_comes_back_as_it_was(checkpoints, warnings):
    save(checkpoints, 9)
    document = save(checkpoints, 10)
    found = checkpoints.newest()
    assert (found.document, found.state) == (document, b"state 10")
    assert warnings == []


TORN = {
    "the state is missing": lambda root: (root / "step-00000010.torch").unlink(),
    "the state is cut": lambda root: (root / "step-00000010.torch").write_bytes(b"sta"),
    "the state is another": lambda root: (root / "step-00000010.torch").write_bytes(b"STATE 10"),
    "the document is cut": lambda root: (root / "step-00000010.json").write_bytes(b'{"version": 1, "fra'),
    "the document is empty": lambda root: (root / "step-00000010.json").write_bytes(b""),
    "the document is missing": lambda root: (root / "step-00000010.json").unlink(),
}


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN.keys())
def test_an_incomplete_one_is_passed_over(tmp_path, checkpoints, warnings, tear):
    document = save(checkpoints, 9)
    save(checkpoints, 10)
    tear(tmp_path / "checkpoints")
    assert checkpoints.newest().document == document
    is_seen = (tmp_path / "checkpoints/step-00000010.json").exists()
    assert len(warnings) == is_seen
    assert all("step-00000010" in line and "incomplete checkpoint passed over" in line for line in warnings)


def test_nothing_whole_is_an_error(tmp_path, checkpoints):
    save(checkpoints, 10)
    (tmp_path / "checkpoints/step-00000010.torch").write_bytes(b"")
    with pytest.raises(DataSetError, match="none of 1 checkpoints is whole; name another `model_dir`, or start anew"):
        checkpoints.newest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"manifest_digest": "b" * 64}, "expected the data set .* bbbb.*, found aaaa"),
        ({"framework": "keras"}, "expected one of the framework keras, found torch"),
        ({"model": "resnet50"}, "expected the model resnet50, found small"),
        ({"split": "train-b"}, "expected the split train-b, found train"),
    ],
)
def test_those_of_another_training_are_refused(tmp_path, checkpoints, warnings, change, message):
    save(checkpoints, 10)
    other = open_there(tmp_path, warnings, msgspec.structs.replace(IDENTITY, **change))
    with pytest.raises(DataSetError, match=message):
        other.newest()


def test_a_newer_document_says_what_it_needs(tmp_path, checkpoints):
    save(checkpoints, 10)
    path = tmp_path / "checkpoints/step-00000010.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(DataSetError, match="expected a checkpoint of version 1, found 2; a newer shardpack is needed"):
        checkpoints.newest()


def test_old_ones_go_but_the_best_stays(tmp_path, checkpoints):
    for step, accuracy in ((1, 0.5), (2, 0.9), (3, 0.7), (4, None), (5, 0.8)):
        save(checkpoints, step, accuracy=accuracy)
    assert names(tmp_path) == [f"step-0000000{step}.{suffix}" for step in (2, 4, 5) for suffix in ("json", "torch")]


def test_all_can_be_removed(tmp_path, checkpoints):
    save(checkpoints, 1)
    save(checkpoints, 2)
    checkpoints.delete_all()
    assert names(tmp_path) == []
    assert checkpoints.newest() is None


def test_a_bucket_keeps_them_as_a_folder_does(s3_endpoint, s3_bucket, warnings):
    uri, options = f"s3://{s3_bucket}/run", StoreOptions(endpoint_url=s3_endpoint)
    checkpoints = open_there(uri, warnings, store=options)
    assert checkpoints.newest() is None
    for step, accuracy in ((1, 0.5), (2, 0.9), (3, 0.7), (4, None), (5, 0.8)):
        save(checkpoints, step, accuracy=accuracy)
    assert open_there(uri, warnings, store=options).newest().state == b"state 5"
    open_store(uri, options).put("checkpoints/step-00000005.torch", [b"sta"])
    assert checkpoints.newest().state == b"state 4"
    assert len(warnings) == 1
    kept = {info.key.partition("step-0000000")[2] for info in open_store(uri, options).list("checkpoints/")}
    assert kept == {f"{step}.{suffix}" for step in (2, 4, 5) for suffix in ("json", "torch")}
