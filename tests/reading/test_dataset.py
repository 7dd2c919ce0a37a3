import pytest

from packer.errors import DataSetError, NotADataSetError, OptionsError
from packer.planning.layout import MANIFEST_KEY
from packer.reading.dataset import open_dataset
from tests.reading.make_dataset import deal, make_dataset, make_samples


@pytest.fixture
def root(tmp_path):
    make_dataset(
        tmp_path,
        {"train": deal(make_samples(12), 4), "val": deal(make_samples(7), 4), "test": [[], []]},
        world=2,
    )
    return tmp_path


def test_a_finished_data_set_opens(root):
    dataset = open_dataset(str(root))
    assert dataset.manifest.split("train").num_records == 12
    assert dataset.store.uri == str(root)


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path):
    with pytest.raises(NotADataSetError, match=rf"{tmp_path}: expected a finished data set.*no manifest.json"):
        open_dataset(str(tmp_path))


def test_an_edited_manifest_is_refused(root):
    document = root / MANIFEST_KEY
    document.write_bytes(document.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(DataSetError, match=rf"{root}/manifest.json: edited"):
        open_dataset(str(root))


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / MANIFEST_KEY).mkdir()
    with pytest.raises(DataSetError, match=rf"{tmp_path}: cannot read manifest.json"):
        open_dataset(str(tmp_path))


def test_a_rank_gets_its_shards_of_any_split(root):
    dataset = open_dataset(str(root))
    keys = [shard.key for shard in dataset.shards_for("train", rank=1, world=2)]
    assert keys == ["train/train-00001-of-00004.tfrecord", "train/train-00003-of-00004.tfrecord"]
    assert len(dataset.shards_for("val", rank=0, world=4)) == 1
    with pytest.raises(OptionsError, match="4 shards do not divide by 3 ranks"):
        dataset.shards_for("train", rank=0, world=3)
    with pytest.raises(DataSetError, match="expected one of test, train, val"):
        dataset.shards_for("vla", rank=0, world=1)


@pytest.mark.parametrize(
    ("split", "world", "batch_size", "steps"),
    [("train", 1, 5, 2), ("train", 2, 3, 2), ("train", 4, 3, 1), ("val", 1, 3, 3), ("val", 2, 3, 2), ("val", 4, 8, 1)],
)
def test_steps(root, split, world, batch_size, steps):
    assert open_dataset(str(root)).steps(split, world=world, batch_size=batch_size) == steps


@pytest.mark.parametrize(
    ("split", "batch_size", "error", "message"),
    [
        ("train", 7, OptionsError, "expected 1 to 6"),
        ("val", 0, OptionsError, "expected at least 1, got 0"),
        ("test", 1, DataSetError, "expected records in split 'test', found none"),
    ],
)
def test_steps_that_cannot_be_are_refused(root, split, batch_size, error, message):
    with pytest.raises(error, match=message):
        open_dataset(str(root)).steps(split, world=2, batch_size=batch_size)


def test_files_are_checked_for_the_shards_of_the_rank_alone(root):
    dataset = open_dataset(str(root))
    (root / "train/train-00001-of-00004.tfrecord").unlink()
    with (root / "train/train-00002-of-00004.tfrecord").open("ab") as shard:
        shard.write(b"x")
    dataset.check("val", rank=1, world=2)
    dataset.check("train", rank=3, world=4)
    with pytest.raises(DataSetError, match=r"train-00001-of-00004.tfrecord: expected a shard .* found no file"):
        dataset.check("train", rank=1, world=2)
    with pytest.raises(DataSetError, match=r"train-00002-of-00004.tfrecord: expected [\d,]+ bytes, found [\d,]+"):
        dataset.check("train", rank=0, world=2)
