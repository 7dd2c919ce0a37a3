import itertools
import json
import shutil

import pytest

from packer.errors import DataSetError, NotADataSetError, OptionsError
from packer.reading.dataset import open_dataset
from packer.reading.job_channels import Place, find_channel, open_channels
from packer.reading.records import ReadSpec, iter_samples
from tests.reading.containers import place_shards, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import STREAMED

HOSTS = ("algo-1", "algo-2")
WHOLE = {"train": ("File", "FullyReplicated"), "val": ("File", "FullyReplicated")}
SHARDED = {"train": ("File", "ShardedByS3Key"), "val": ("File", "ShardedByS3Key")}


@pytest.fixture(params=STREAMED)
def data(tmp_path, request):
    root = tmp_path / "data"
    splits = {"train": deal(make_samples(24), 8), "val": deal(make_samples(21), 8)}
    make_dataset(root, splits, container=request.param, world=4)
    return root


def splits_of(data):
    return open_dataset(str(data)).manifest.splits


def open_place(base, host, local_rank, **options):
    place = Place(rank=2 * host + local_rank, world=4, local_rank=local_rank, local_size=2)
    return open_channels(str(base), place, **options)


def labels(source, split, rank, **spec):
    return [sample.label for sample in iter_samples(source, split, ReadSpec(rank=rank, world=4), **spec)]


def whole_host(tmp_path, data, host, channels=WHOLE):
    files = write_job(tmp_path / f"host{host}", data, channels, hosts=HOSTS, host=host)
    for split, entry in splits_of(data).items():
        place_shards(files, split, data, entry.shards)
    return tmp_path / f"host{host}"


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_whole_folders_are_dealt_by_global_rank(tmp_path, data, mode):
    channels = dict.fromkeys(("train", "val"), (mode, "FullyReplicated"))
    bases = [whole_host(tmp_path, data, host, channels) for host in (0, 1)]
    for split, expected in (("train", 24), ("val", 21)):
        seen = []
        for rank in range(4):
            source = open_place(bases[rank // 2], rank // 2, rank % 2)
            share = source.check(split, rank=rank, world=4)
            assert (share.delivery, share.own_shards) == (f"{mode}, FullyReplicated", ())
            seen += labels(source, split, rank)
        assert sorted(seen) == list(range(expected))


@pytest.mark.parametrize("assigned", [((0, 1, 2, 3), (4, 5, 6, 7)), ((0, 3, 6, 7), (1, 2, 4, 5))])
def test_shares_of_hosts_are_dealt_by_local_rank_whatever_they_are(tmp_path, data, assigned):
    seen, owned = [], []
    for host, indices in enumerate(assigned):
        files = write_job(tmp_path / f"host{host}", data, SHARDED, hosts=HOSTS, host=host)
        for split, entry in splits_of(data).items():
            place_shards(files, split, data, [entry.shards[index] for index in indices])
        for local_rank in (0, 1):
            source = open_place(tmp_path / f"host{host}", host, local_rank)
            share = source.check("train", rank=2 * host + local_rank, world=4)
            assert (share.host, share.delivery, share.own_shards) == (HOSTS[host], "File, ShardedByS3Key", indices)
            owned.append(share.own_shards)
            for split in ("train", "val"):
                seen += [(split, label) for label in labels(source, split, 2 * host + local_rank)]
    expected = [("train", index) for index in range(24)] + [("val", index) for index in range(21)]
    assert sorted(seen) == expected
    assert sorted(itertools.chain(*owned)) == sorted([*range(8), *range(8)])


def test_training_order_depends_on_the_epoch(tmp_path, data):
    source = open_place(whole_host(tmp_path, data, 0), 0, 1)
    assert labels(source, "train", 1, epoch=1) == labels(source, "train", 1, epoch=1)
    assert labels(source, "train", 1, epoch=1) != labels(source, "train", 1, epoch=2)


def test_files_are_those_that_are_read(tmp_path, data):
    source = open_place(whole_host(tmp_path, data, 0), 0, 1)
    files = source.files("val", ReadSpec(rank=1, world=4), epoch=0)
    assert [file.entry for file in files] == list(splits_of(data)["val"].shards[1::4])
    assert [file.name for file in files] == [name for name, _ in _names(source)]


def _names(source):
    return itertools.groupby(name for name, _ in source.records("val", ReadSpec(rank=1, world=4), epoch=0))


def test_the_manifest_may_come_from_elsewhere(tmp_path, data):
    base = whole_host(tmp_path, data, 0)
    shutil.rmtree(base / "input/data/meta")
    with pytest.raises(NotADataSetError, match=r"data/meta: expected a finished data set, found no manifest.json"):
        open_place(base, 0, 0)
    assert open_place(base, 0, 0, manifest_uri=str(data)).manifest.digest == open_dataset(str(data)).manifest.digest


def test_a_missing_manifest_channel_is_named(tmp_path, data):
    base = whole_host(tmp_path, data, 0)
    config = base / "input/config/inputdataconfig.json"
    config.write_text(config.read_text().replace('"meta"', '"mete"'))
    with pytest.raises(NotADataSetError, match="expected a channel 'meta' .* found none among mete, train, val"):
        open_place(base, 0, 0)


def folder(base, split="train"):
    return base / "input/data" / split / split


FOLDER_FAULTS = {
    "another file": (
        lambda base: (folder(base) / "_SUCCESS").write_text(""),
        r"/_SUCCESS: expected shards of split 'train' alone in the channel, found another file",
    ),
    "a shard of another split": (
        lambda base: shutil.copy(next(folder(base, "val").iterdir()), folder(base)),
        r"/val-\d+-of-00008.*: expected shards of split 'train' alone",
    ),
    "a shard twice": (
        lambda base: shutil.copy(next(folder(base).glob("*-00002-*")), base / "input/data/train"),
        r"train-00002-of-00008.*: expected each shard once, found it at train",
    ),
    "fewer shards": (
        lambda base: [path.unlink() for path in folder(base).glob("*-0000[3-6]-*")],
        r"expected 8 of the 8 shards of split 'train', found 4; missing: train-00003-.*train-00005-\S+ and 1 more",
    ),
    "no folder": (
        lambda base: shutil.rmtree(base / "input/data/train"),
        r"data/train: expected 8 of the 8 shards of split 'train', found 0; missing: train-00000",
    ),
    "another size": (
        lambda base: next(folder(base).glob("*-00001-*")).write_bytes(b"x"),
        r"train-00001-of-00008.*: expected [\d,]+ bytes, found 1; the file is not the one that was packed",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_what_is_wrong_in_a_folder_is_named_before_the_first_record(tmp_path, data, fault):
    damage, message = FOLDER_FAULTS[fault]
    base = whole_host(tmp_path, data, 0)
    damage(base)
    source = open_place(base, 0, 1)
    with pytest.raises(DataSetError, match=message):
        source.check("train", rank=1, world=4)
    source.check("val", rank=1, world=4)


@pytest.mark.parametrize("num_shards", [3, 5])
def test_shares_that_are_not_equal_are_refused(tmp_path, data, num_shards):
    files = write_job(tmp_path / "host", data, SHARDED, hosts=HOSTS)
    place_shards(files, "train", data, splits_of(data)["train"].shards[:num_shards])
    with pytest.raises(DataSetError, match=rf"expected 4 of the 8 shards of split 'train', found {num_shards}; the h"):
        open_place(tmp_path / "host", 0, 0).check("train", rank=0, world=4)


CHANNEL_FAULTS = {
    "no channel": ({"val": ("File", "")}, "found meta, val$"),
    "a whole Pipe": ({"train": ("Pipe", "")}, "found train in Pipe mode$"),
    "too few Pipes": ({"train0": ("Pipe", "")}, "found meta, train0$"),
    "too many Pipes": (dict.fromkeys(("train0", "train1", "train2"), ("Pipe", "")), "found meta, train0, .*train2$"),
    "numbered folders": (dict.fromkeys(("train0", "train1"), ("File", "")), "found train0 in File mode$"),
    "both": (dict.fromkeys(("train0", "train1", "train"), ("File", "")), "found meta, train, train0, train1$"),
}


@pytest.mark.parametrize("fault", CHANNEL_FAULTS)
def test_a_split_has_a_channel_or_a_pipe_for_each_local_rank(tmp_path, data, fault):
    channels, message = CHANNEL_FAULTS[fault]
    write_job(tmp_path / "host", data, channels, hosts=HOSTS)
    expected = r"split 'train': expected channel train \(File or FastFile\), or train0 train1 \(Pipe, one for each rank"
    with pytest.raises(DataSetError, match=f"{expected}.*{message}"):
        open_place(tmp_path / "host", 0, 0).check("train", rank=0, world=4)


def test_splits_whose_names_end_in_digits_are_told_apart(tmp_path):
    shards = deal(make_samples(4), 2)
    make_dataset(tmp_path / "data", {"train": shards, "train2": shards, "train21": shards})
    channels = dict.fromkeys(("train0", "train20", "train210"), ("Pipe", "ShardedByS3Key"))
    files = write_job(tmp_path / "base", tmp_path / "data", channels)
    source = open_channels(files.base_dir, Place())
    found = {s: find_channel(files, source.manifest, s, Place()) for s in ("train", "train2", "train21")}
    assert found == {"train": "train0", "train2": "train20", "train21": "train210"}
    with pytest.raises(OptionsError, match="channel 'train20': expected Pipe channels of the splits that are read"):
        source.check_all_pipes_are_read(("train", "train21"))


def test_wrapped_records_are_refused(tmp_path, data):
    base = whole_host(tmp_path, data, 0)
    config = base / "input/config/inputdataconfig.json"
    config.write_text(config.read_text().replace('"RecordWrapperType": "None"', '"RecordWrapperType": "RecordIO"'))
    with pytest.raises(DataSetError, match="channel 'train': expected shards as they were packed .* found RecordIO"):
        open_place(base, 0, 0).check("train", rank=0, world=4)


def test_pipes_that_nobody_reads_are_refused(tmp_path, data):
    names = ("train0", "train1", "val0", "val1")
    write_job(tmp_path / "host", data, dict.fromkeys(names, ("Pipe", "ShardedByS3Key")), hosts=HOSTS)
    source = open_place(tmp_path / "host", 0, 0)
    source.check_all_pipes_are_read(("train", "val"))
    with pytest.raises(OptionsError, match=r"channel 'val0': expected Pipe channels of the splits that are read"):
        source.check_all_pipes_are_read(("train",))


@pytest.mark.parametrize(("local_size", "world"), [(2, 2), (1, 4), (2, 8)])
def test_ranks_must_be_as_many_on_each_host_of_the_job(tmp_path, data, local_size, world):
    base = whole_host(tmp_path, data, 0)
    with pytest.raises(
        OptionsError, match=rf"expected {local_size} ranks on each of the job's 2 hosts .* got {world} "
    ):
        open_channels(str(base), Place(world=world, local_size=local_size))


@pytest.mark.parametrize(("num_hosts", "allowed"), [(1, False), (2, True), (3, True), (4, False), (5, True), (6, True)])
def test_the_launcher_may_use_some_groups_of_hosts(tmp_path, data, num_hosts, allowed):
    """Of two hosts, this one among them, one host, and three hosts: 2, 2 + 1, 2 + 3 or 2 + 1 + 3."""
    base = whole_host(tmp_path, data, 0)
    config = base / "input/config/resourceconfig.json"
    document = json.loads(config.read_text()) | {"hosts": [f"algo-{number}" for number in range(1, 7)]}
    document["instance_groups"] = [
        {"instance_group_name": f"g{len(numbers)}", "instance_type": "", "hosts": [f"algo-{n}" for n in numbers]}
        for numbers in ((4,), (1, 3), (2, 5, 6))
    ]
    config.write_text(json.dumps(document))
    place = Place(world=2 * num_hosts, local_size=2)
    if allowed:
        assert open_channels(str(base), place).host == "algo-1"
    else:
        with pytest.raises(OptionsError, match="expected 2 ranks on each of the job's 6 hosts"):
            open_channels(str(base), place)


def test_the_channels_are_of_one_rank(tmp_path, data):
    source = open_place(whole_host(tmp_path, data, 0), 0, 1)
    with pytest.raises(OptionsError, match="expected rank 1 of 4, for which the channels were opened, got 0 of 4"):
        source.check("train", rank=0, world=4)


def test_shards_that_do_not_divide_are_refused(tmp_path, data):
    base = whole_host(tmp_path, data, 0)
    source = open_channels(str(base), Place(world=6, local_size=3))
    with pytest.raises(OptionsError, match="8 shards do not divide by 6 ranks"):
        source.check("train", rank=0, world=6)
