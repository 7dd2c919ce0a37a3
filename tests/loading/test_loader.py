import collections
import dataclasses
import json
import os
import random
import threading

import numpy as np
import pytest

import packer
from packer.errors import CorruptRecordError, DataSetError, OptionsError
from packer.loading.loader_spec import ChannelInput
from packer.reading.dataset import open_dataset
from packer.specs import FormatName
from tests.reading.containers import feeding, place_shards, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import STREAMED, pack_small, write_images

NUM_TRAIN, NUM_VAL = 48, 13


@pytest.fixture(scope="module", params=STREAMED)
def data(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("data")
    splits = {"train": deal(make_samples(NUM_TRAIN), 4), "val": deal(make_samples(NUM_VAL, first=1), 4)}
    make_dataset(folder, splits, container=request.param, world=2)
    return folder


@pytest.fixture
def own_data(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(NUM_TRAIN), 4)}, world=2)
    return tmp_path


def open_loader(data, split="train", *, batch_size=6, image_px=16, where="process", threads=2, **options):
    return packer.Loader(
        str(data), split, batch_size=batch_size, image_px=image_px, where=where, threads=threads, **options
    )


def take(loader, num_batches):
    """Return copies of so many batches."""
    found = []
    for batch in loader:
        found.append(dataclasses.replace(batch, images=batch.images.copy()))
        if len(found) == num_batches:
            return found
    return found


def assert_same(first, second):
    assert [(b.epoch, b.step) for b in first] == [(b.epoch, b.step) for b in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.images, other.images)


def vector_samples(count):
    """Return samples with two floats each as labels, in ascending order."""
    return [dataclasses.replace(sample, label=(sample.label + 0.5, -1.0)) for sample in make_samples(count)]


def labels(batches):
    return [int(label) for batch in batches for label in batch.labels[: batch.num_samples]]


class TestTraining:
    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_an_epoch_has_each_record_once_over_all_ranks(self, data, world):
        for epoch in range(2):
            ranks = []
            for rank in range(world):
                with open_loader(data, rank=rank, world=world) as loader:
                    assert loader.steps == NUM_TRAIN // world // 6
                    ranks.append(take(loader, 2 * loader.steps)[epoch * loader.steps :][: loader.steps])
            assert {(batch.epoch, batch.step) for rank in ranks for batch in rank} == {
                (epoch, step) for step in range(NUM_TRAIN // world // 6)
            }
            assert sorted(label for rank in ranks for label in labels(rank)) == list(range(NUM_TRAIN))

    def test_batches_have_the_promised_shape(self, data):
        with open_loader(data) as loader:
            (batch,) = take(loader, 1)
        assert (batch.images.shape, batch.images.dtype) == ((6, 16, 16, 3), np.uint8)
        assert (batch.labels.shape, batch.labels.dtype) == ((6,), np.int64)
        assert (batch.weights.tolist(), batch.weights.dtype) == ([1.0] * 6, np.float32)
        assert batch.images.std() > 10

    def test_a_short_last_batch_is_left_out(self, data):
        with open_loader(data, world=2, batch_size=7) as loader:
            found = take(loader, 4)
        assert [(batch.epoch, batch.step) for batch in found] == [(0, 0), (0, 1), (0, 2), (1, 0)]
        assert len(set(labels(found[:3]))) == 21

    @pytest.mark.parametrize("threads", [1, 3])
    def test_threads_change_nothing(self, data, threads):
        with open_loader(data, batch_size=20) as loader, open_loader(data, batch_size=20, threads=threads) as other:
            assert_same(take(loader, 5), take(other, 5))

    def test_order_and_crops_depend_on_seed_and_epoch(self, data):
        found = {}
        for seed in (0, 1):
            with open_loader(data, seed=seed) as loader:
                batches = take(loader, 2 * loader.steps)
            for epoch in (0, 1):
                found[seed, epoch] = tuple(labels(b for b in batches if b.epoch == epoch))
        assert len(set(found.values())) == 4

    def test_worlds_share_the_samples_and_pixels_of_each_step(self, data):
        steps = {}
        for world in (1, 2, 3, 4, 6, 8):
            steps[world] = [{} for _ in range(3)]
            for rank in range(world):
                with open_loader(data, rank=rank, world=world, batch_size=24 // world) as loader:
                    for index, batch in enumerate(take(loader, 3)):
                        steps[world][index] |= {
                            int(label): image.tobytes() for label, image in zip(batch.labels, batch.images, strict=True)
                        }
        assert all(len(step) == 24 for step in steps[1])
        assert all(found == steps[1] for found in steps.values())

    def test_half_of_the_images_are_mirrored(self, tmp_path):
        sample = make_samples(1)[0]
        make_dataset(tmp_path, {"train": [[dataclasses.replace(sample, label=index) for index in range(64)]]})
        with open_loader(tmp_path, batch_size=64, image_px=32, min_area=1.0) as loader:
            (batch,) = take(loader, 1)
        plain, mirrored = batch.images[0].tobytes(), batch.images[0][:, ::-1].tobytes()
        kinds = collections.Counter(image.tobytes() for image in batch.images)
        assert kinds[plain] > 10
        assert kinds[mirrored] > 10

    @pytest.mark.parametrize("encode", ["png", "webp", "keep"])
    def test_other_encodings(self, tmp_path, encode):
        dest = pack_small(write_images(tmp_path / "source", 32), tmp_path / "data", encode=encode, resize="20x20").dest
        with open_loader(dest, batch_size=4) as loader:
            images = np.concatenate([batch.images for batch in take(loader, loader.steps)])
        assert images.std() > 10

    @pytest.mark.parametrize("container", STREAMED)
    def test_vectors_of_floats_as_labels(self, tmp_path, container):
        samples = [dataclasses.replace(s, label=(s.label, 0.5, -1.0)) for s in make_samples(6)]
        make_dataset(
            tmp_path, {"train": [samples], "val": deal(samples[:5], 1)}, container=container, label_kind="floats"
        )
        with open_loader(tmp_path) as loader:
            (batch,) = take(loader, 1)
        assert (batch.labels.shape, batch.labels.dtype) == ((6, 3), np.float32)
        assert sorted(batch.labels[:, 0].tolist()) == [0, 1, 2, 3, 4, 5]
        with open_loader(tmp_path, "val", batch_size=3) as loader:
            *_, batch = take(loader, 9)
        assert (batch.weights.tolist(), batch.labels.tolist()[-1]) == ([1, 1, 0], [0, 0, 0])

    def test_a_data_set_without_labels(self, tmp_path):
        samples = [dataclasses.replace(sample, label=None) for sample in make_samples(6)]
        make_dataset(tmp_path, {"train": [samples]}, label_kind="none")
        with open_loader(tmp_path) as loader:
            assert take(loader, 1)[0].labels.tolist() == [-1] * 6


class TestEvaluation:
    @pytest.mark.parametrize(("world", "batch_size"), [(1, 4), (2, 4), (3, 5), (4, 2), (4, 9), (20, 1)])
    def test_each_record_once_in_stored_order_and_equal_steps(self, data, world, batch_size):
        seen, steps = [], set()
        for rank in range(world):
            with open_loader(data, "val", rank=rank, world=world, batch_size=batch_size) as loader:
                batches = take(loader, 99)
                assert len(batches) == loader.steps
                steps.add(loader.steps)
                for batch in batches:
                    assert batch.images.shape == (batch_size, 16, 16, 3)
                    assert batch.weights.sum() == batch.num_samples
                    assert not batch.images[batch.weights == 0].any()
                    assert not batch.labels[batch.weights == 0].any()
                seen += labels(batches)
        assert len(steps) == 1
        assert seen == [sample.label for shard in deal(make_samples(NUM_VAL, first=1), 4) for sample in shard]

    def test_passes_are_equal_also_after_one_that_was_left(self, data):
        with open_loader(data, "val", batch_size=4) as loader:
            first = take(loader, 99)
            take(loader, 2)
            again = take(loader, 99)
        assert labels(first) == labels(again)
        assert len(first) == len(again) == 4

    def test_images_are_the_centre_of_the_stored_ones(self, data):
        import simplejpeg

        with open_loader(data, "val", image_px=28, batch_size=1) as loader:  # 0.875 of 32 pixels
            (batch,) = take(loader, 1)
        stored = {sample.label: sample.encoded for sample in make_samples(NUM_VAL, first=1)}
        expected = simplejpeg.decode_jpeg(stored[int(batch.labels[0])])[2:30, 2:30]
        np.testing.assert_array_equal(batch.images[0], expected)


class TestState:
    def test_it_goes_on_after_the_batches_that_were_handed_out(self, data):
        with open_loader(data, batch_size=5) as loader:
            everything = take(loader, 25)
        chance = random.Random(1)
        for _ in range(6):
            at = chance.randrange(25)
            with open_loader(data, batch_size=5, threads=chance.randint(1, 4)) as loader:
                if at:
                    take(loader, at)
                state = json.loads(json.dumps(loader.state_dict()))
            with open_loader(data, batch_size=5, threads=chance.randint(1, 4)) as loader:
                loader.load_state_dict(state)
                assert loader.state_dict() == state
                assert_same(take(loader, 25 - at), everything[at:])

    def test_another_world_and_another_batch_go_on_from_the_position(self, data):
        with open_loader(data, batch_size=8) as loader:
            take(loader, 2)
            state = loader.state_dict()
            rest = labels(take(loader, 4))
        found = []
        for rank in range(3):
            with open_loader(data, rank=rank, world=3, batch_size=2) as loader:
                loader.load_state_dict(state)
                found += labels(take(loader, 5))  # 30 of the 32 that are left
        assert len(set(found)) == 30
        assert set(found) <= set(rest)

    def test_an_epoch_that_is_over_stays_so_for_smaller_batches(self, data):
        with open_loader(data, batch_size=20) as loader:
            take(loader, 2)
            state = loader.state_dict()
        assert (state["epoch"], state["position"], state["steps"]) == (1, 0, 2)

    def test_it_counts_what_was_handed_out_and_not_what_was_made(self, data):
        with open_loader(data) as loader:
            batches = iter(loader)
            next(batches)
            next(batches)
            assert (loader.state_dict()["position"], loader.state_dict()["steps"]) == (12, 2)

    @pytest.mark.parametrize(
        ("name", "options"),
        [("seed", {"seed": 1}), ("shuffle_records", {"shuffle_records": 8}), ("split", {"split": "val"})],
    )
    def test_another_order_is_refused(self, data, name, options):
        with open_loader(data) as loader:
            state = loader.state_dict()
        other = open_loader(data, **options)
        with pytest.raises(OptionsError, match=f"state: {name}: it was saved with"):
            other.load_state_dict(state)

    def test_another_data_set_or_version_is_refused(self, data, own_data):
        with open_loader(data) as loader, open_loader(own_data) as other:
            state = loader.state_dict()
            if state["manifest_digest"] != other.state_dict()["manifest_digest"]:
                with pytest.raises(OptionsError, match="digest of manifest.json"):
                    other.load_state_dict(state)
            for broken, message in (
                (state | {"version": 2}, "expected version 1 or lower, got 2"),
                (state | {"order_version": 9}, "the version of the order"),
                ({"version": 1}, "expected what state_dict"),
            ):
                with pytest.raises(OptionsError, match=message):
                    loader.load_state_dict(broken)

    def test_other_pixels_are_warned_of(self, data, caplog):
        with open_loader(data) as loader, open_loader(data, image_px=8) as other:
            other.load_state_dict(loader.state_dict())
            assert "image size, crops, decoder or transform differ" in caplog.text
            caplog.clear()
            loader.load_state_dict(loader.state_dict())
            assert not caplog.text


class TestHeldBatches:
    def test_all_may_be_held_and_none_is_overwritten(self, data):
        with open_loader(data) as loader:
            held = [batch for batch, _ in zip(loader, range(30), strict=False)]
        with open_loader(data) as loader:
            assert_same(held, take(loader, 30))

    def test_a_part_of_a_batch_keeps_it_whole(self, data):
        with open_loader(data) as loader:
            batches = iter(loader)
            first = next(batches)
            expected = first.images[3:5].copy()
            part = first.images[1:][2:4].reshape(2, -1).view()
            del first
            for _ in range(20):
                next(batches)
            np.testing.assert_array_equal(part, expected.reshape(2, -1))

    def test_batches_outlive_the_loader(self, data):
        loader = open_loader(data)
        batch = next(iter(loader))
        copy = batch.images.copy()
        loader.close()
        del loader
        np.testing.assert_array_equal(batch.images, copy)


class TestOutputs:
    def test_keys_and_columns(self, tmp_path):
        samples = [
            dataclasses.replace(sample, extras={"site": sample.label % 3, "boxes": (0.5, sample.label)})
            for sample in make_samples(8)
        ]
        make_dataset(tmp_path, {"train": [samples]})
        with open_loader(tmp_path, batch_size=8, keys=True, columns=("site", "boxes", "none")) as loader:
            (batch,) = take(loader, 1)
        assert list(batch.keys) == [f"{label}/{label:05d}.jpg" for label in batch.labels]
        assert list(batch.columns["site"]) == [label % 3 for label in batch.labels]
        assert list(batch.columns["boxes"]) == [(0.5, label) for label in batch.labels]
        assert list(batch.columns["none"]) == [None] * 8

    @pytest.mark.parametrize("container", STREAMED)
    def test_keys_and_columns_of_every_container(self, tmp_path, container):
        folder = write_images(tmp_path / "source", 24)
        listing = tmp_path / "listing.csv"
        rows = [f"{path.relative_to(folder)},{number % 2},{number}" for number, path in enumerate(folder.glob("*/*"))]
        listing.write_text("\n".join(["path,label,site", *rows]) + "\n")
        dest = pack_small(listing, tmp_path / "data", root=str(folder), format=container).dest
        with open_loader(dest, batch_size=8, keys=True, columns=("site",)) as loader:
            batches = take(loader, loader.steps)
        found = []
        for batch in batches:
            told = zip(batch.keys, batch.labels, batch.columns["site"], strict=True)
            found += [f"{key},{label},{site}" for key, label, site in told]
        assert sorted(found) == sorted(rows)
        with pytest.raises(OptionsError, match="columns: expected some of site, got sight"):
            open_loader(dest, columns=("sight",))

    def test_what_channels_cannot_tell_is_refused(self, tmp_path):
        make_dataset(tmp_path / "data", {"train": [make_samples(8)]}, container=FormatName.RECORDIO)
        files = write_job(tmp_path / "base", tmp_path / "data", {"train": ("File", "FullyReplicated")})
        place_shards(
            files, "train", tmp_path / "data", open_dataset(str(tmp_path / "data")).manifest.split("train").shards
        )
        with pytest.raises(OptionsError, match="recordio shards hold no keys"):
            packer.Loader(ChannelInput(base_dir=files.base_dir), "train", batch_size=4, image_px=8, keys=True)

    def test_a_transform_is_seeded_by_sample_and_epoch(self, data):
        with open_loader(data, transform=add_noise) as loader, open_loader(data, threads=3) as plain:
            changed, unchanged = take(loader, 16), take(plain, 16)
        with open_loader(data, transform=f"{__name__}:add_noise", threads=1) as loader:
            assert_same(changed, take(loader, 16))
        for one, other in zip(changed, unchanged, strict=True):
            assert (one.images != other.images).any(axis=(1, 2, 3)).all()
        noise = [one.images[0].astype(int) - other.images[0] for one, other in zip(changed, unchanged, strict=True)]
        assert len({values.tobytes() for values in noise}) == 16

    def test_what_a_transform_returns_is_checked(self, data):
        with open_loader(data, transform=make_smaller) as loader, pytest.raises(OptionsError, match=r"record \d+"):
            take(loader, 1)

    @pytest.mark.parametrize("name", ["nothing", "no.such:function", f"{__name__}:no_such", f"{__name__}:NUM_VAL"])
    def test_a_transform_must_be_there(self, data, name):
        with pytest.raises(OptionsError, match="transform:"):
            open_loader(data, transform=name)


def add_noise(image, generator):
    noise = generator.integers(0, 200, image.shape, np.uint8)
    return image // 2 + noise // 2 + 1


def make_smaller(image, generator):
    return image[1:]


class TestFaults:
    def test_a_damaged_record_is_named(self, own_data):
        shard = own_data / "train/train-00002-of-00004.tfrecord"
        content = bytearray(shard.read_bytes())
        content[-100] ^= 1
        shard.write_bytes(content)
        loader = open_loader(own_data)
        with pytest.raises(CorruptRecordError, match=rf"{shard.name}: record 11 at byte .*masked crc32c"):
            take(loader, 8)

    def test_a_picture_that_does_not_decode_is_named(self, tmp_path):
        samples = make_samples(8)
        samples[5] = dataclasses.replace(samples[5], encoded=samples[5].encoded[:-300])
        make_dataset(tmp_path, {"train": [samples]})
        loader = open_loader(tmp_path, batch_size=8)
        with pytest.raises(DataSetError, match=r"train-00000-of-00001.tfrecord: record 5: sample '5/00005.jpg'"):
            take(loader, 1)

    def test_a_picture_larger_than_any_that_was_packed_is_refused_by_its_header(self, tmp_path):
        samples = make_samples(8)
        header = samples[5].encoded.replace(bytes([0, 32, 0, 32, 3]), bytes([250, 0, 250, 0, 3]), 1)
        samples[5] = dataclasses.replace(samples[5], encoded=header)
        make_dataset(tmp_path, {"train": [samples]})
        loader = open_loader(tmp_path, batch_size=8)
        with pytest.raises(DataSetError, match="record 5: .*64000 x 64000 pixels, more than the 1,000,000 of packing"):
            take(loader, 1)

    def test_batches_before_a_fault_come_first(self, own_data):
        with open_loader(own_data) as loader:
            expected = labels(take(loader, 8))
        bad = expected.index(4) // 6
        samples = make_samples(NUM_TRAIN)
        samples[4] = dataclasses.replace(samples[4], encoded=b"no picture")
        make_dataset(own_data, {"train": deal(samples, 4)}, world=2)
        with open_loader(own_data) as loader:
            found = []
            with pytest.raises(DataSetError, match="record 1"):
                found.extend(batch.labels.tolist() for batch in loader)
        assert [label for batch in found for label in batch] == expected[: 6 * bad]

    def test_a_shard_that_is_gone_or_cut_is_named(self, own_data):
        shard = own_data / "train/train-00001-of-00004.tfrecord"
        content = shard.read_bytes()
        for broken, message in ((content[:-10], "found"), (b"", "found 0"), (None, "found no file")):
            if broken is None:
                shard.unlink()
            else:
                shard.write_bytes(broken)
            with open_loader(own_data) as loader, pytest.raises(DataSetError, match=rf"{shard.name}: .*{message}"):
                take(loader, 8)

    def test_what_cannot_be_read_is_refused_at_once(self, data):
        for message, options in {
            "batch size: expected 1 to 48": {"batch_size": 49},
            "batch_size: expected at least 1": {"batch_size": 0},
            "rank: expected 0 to 1": {"rank": 2, "world": 2},
            "where: expected subprocess or process": {"where": "here"},
            "min_area": {"min_area": 0},
            "threads: expected at least 1": {"threads": -1},
            "stall timeout": {"stall_timeout_s": 0},
        }.items():
            with pytest.raises(OptionsError, match=message):
                open_loader(data, **options)
        with pytest.raises(DataSetError, match="'test'"):
            open_loader(data, "test")

    def test_threads_and_files_are_gone_after_it(self, data):
        before, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        with open_loader(data, threads=4) as loader:
            take(loader, 3)
        loader = open_loader(data)
        take(loader, 1)
        del loader
        assert threading.active_count() == before
        assert len(os.listdir("/proc/self/fd")) == files


class TestIndexes:
    def test_packed_indexes_are_used_and_checked(self, tmp_path):
        dest = tmp_path / "data"
        pack_small(write_images(tmp_path / "source", 32), dest)
        with open_loader(dest, batch_size=4, keys=True) as loader:
            assert len({key for batch in take(loader, 8) for key in batch.keys}) == 32
        index = dest / "meta/index/train/train-00001-of-00004.idx"
        index.write_text(index.read_text().replace("0 ", "1 ", 1))
        loader = open_loader(dest, batch_size=4)
        with pytest.raises(DataSetError, match=rf"{index.name}: expected the index that was packed"):
            take(loader, 8)


class TestChannels:
    """A SageMaker job's folders."""

    def open_ranks(self, tmp_path, data, distribution, mode="File", num_hosts=2):
        shards = open_dataset(str(data)).manifest.split("train").shards
        hosts = [f"algo-{number}" for number in range(num_hosts)]
        for rank in range(2 * num_hosts):
            host = rank // 2
            base = tmp_path / f"host{host}"
            if not base.exists():
                files = write_job(base, data, {"train": (mode, distribution)}, hosts=hosts, host=host)
                own = shards if distribution == "FullyReplicated" else shards[host::num_hosts]
                place_shards(files, "train", data, own)
            channels = ChannelInput(base_dir=str(base), local_rank=rank % 2, local_size=2)
            yield packer.Loader(
                channels,
                "train",
                batch_size=3,
                image_px=8,
                rank=rank,
                world=2 * num_hosts,
                threads=1,
                where="process",
            )

    @pytest.mark.parametrize("mode", ["File", "FastFile"])
    @pytest.mark.parametrize("distribution", ["FullyReplicated", "ShardedByS3Key"])
    def test_each_record_once_over_all_hosts(self, tmp_path, data, distribution, mode):
        seen = []
        for loader in self.open_ranks(tmp_path, data, distribution, mode):
            with loader:
                assert loader.steps == 4
                seen += labels(take(loader, 4))
        assert sorted(seen) == list(range(NUM_TRAIN))

    def test_shares_that_may_be_dealt_anew_begin_their_epoch_anew(self, tmp_path, data, caplog):
        (loader, *_) = self.open_ranks(tmp_path, data, "ShardedByS3Key")
        with loader:
            everything = take(loader, 8)
            take(loader, 1)
            state = loader.state_dict()
            assert (state["epoch"], state["position"]) == (2, 6)
            loader.load_state_dict(state | {"epoch": 1})
            assert "is begun anew" in caplog.text
            assert_same(take(loader, 4), everything[4:])

    def test_shares_that_are_as_they_were_are_entered_where_they_were_left(self, tmp_path, data, caplog):
        shares, expected, states = [], [], []
        for loader in self.open_ranks(tmp_path, data, "ShardedByS3Key"):
            with loader:
                shares.append(loader.share)
                expected.append(take(loader, 8)[3:])
        assert sorted(set(shares)) == [(0, 2), (1, 3)]
        for loader in self.open_ranks(tmp_path, data, "ShardedByS3Key"):
            with loader:
                take(loader, 3)
                states.append(json.loads(json.dumps(loader.state_dict(host_shares=shares))))
        again = self.open_ranks(tmp_path, data, "ShardedByS3Key")
        for loader, state, batches in zip(again, states, expected, strict=True):
            with loader:
                loader.load_state_dict(state, host_shares=shares[::-1])
                assert_same(take(loader, 5), batches)
        assert not caplog.text
        with self.open_rank_of_other_shares(tmp_path, data) as loader:
            loader.load_state_dict(states[0], host_shares=[(0, 1), (2, 3)])
        assert "were dealt anew: epoch 0 is begun anew" in caplog.text

    def open_rank_of_other_shares(self, tmp_path, data):
        shards = open_dataset(str(data)).manifest.split("train").shards
        base = tmp_path / "other"
        files = write_job(base, data, {"train": ("File", "ShardedByS3Key")}, hosts=["algo-0", "algo-1"], host=0)
        place_shards(files, "train", data, shards[:2])
        channels = ChannelInput(base_dir=str(base), local_rank=0, local_size=2)
        return packer.Loader(channels, "train", batch_size=3, image_px=8, world=4, threads=1, where="process")

    def test_all_hosts_have_all_shards(self, data):
        with open_loader(data) as loader:
            assert loader.share == ()


class TestPipes:
    """A SageMaker job's FIFOs."""

    def open(self, base, split="train", *, where, **options):
        channels = ChannelInput(base_dir=str(base))
        return packer.Loader(
            channels, split, batch_size=7, image_px=8, threads=2, where=where, pipe_timeout_s=20, **options
        )

    @pytest.mark.parametrize("where", ["process", pytest.param("subprocess", marks=pytest.mark.slow)])
    def test_epochs_of_a_training_stream(self, tmp_path, data, where):
        files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(data, open_dataset(str(data)).manifest.split("train").shards)
        with feeding(*((files.fifo("train0", epoch=epoch), content) for epoch in range(2))):
            loader = self.open(files.base_dir, where=where)
            assert loader.steps == 6
            batches = take(loader, 12)
            loader.close()
        assert [(batch.epoch, batch.step) for batch in batches] == [(e, s) for e in range(2) for s in range(6)]
        assert [len(set(labels(batches[epoch * 6 :][:6]))) for epoch in range(2)] == [42, 42]
        assert labels(batches[:6]) != labels(batches[6:])
        with pytest.raises(OptionsError, match="a Pipe is one stream, which cannot be begun again"):
            take(loader, 1)

    @pytest.mark.parametrize("where", ["process", pytest.param("subprocess", marks=pytest.mark.slow)])
    def test_each_pass_of_an_evaluation_reads_the_next_fifo(self, tmp_path, data, where):
        files = write_job(tmp_path / "base", data, {"val0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(data, open_dataset(str(data)).manifest.split("val").shards)
        loader = self.open(files.base_dir, "val", where=where)
        with feeding(*((files.fifo("val0", epoch=epoch), content) for epoch in range(2))):
            passes = [take(loader, 9) for _ in range(2)]
        assert labels(passes[0]) == labels(passes[1])
        assert sorted(labels(passes[0])) == list(range(1, NUM_VAL + 1))
        assert [batch.weights.sum() for batch in passes[0]] == [7, 6]

    def test_a_state_within_an_epoch_begins_it_anew(self, tmp_path, data, caplog):
        files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
        loader = self.open(files.base_dir, where="process")
        loader.load_state_dict(loader.state_dict() | {"epoch": 3, "position": 14})
        assert "a Pipe is a stream: epoch 3 is begun anew" in caplog.text
        assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (3, 0)

    def test_a_stream_that_is_cut_short_is_an_error(self, tmp_path, data):
        files = write_job(tmp_path / "base", data, {"train0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(data, open_dataset(str(data)).manifest.split("train").shards[:2])
        loader = self.open(files.base_dir, where="process")
        message = "expected 48 records of the rank's shards, found 24"
        with feeding((files.fifo("train0", epoch=0), content)), pytest.raises(DataSetError, match=message):
            take(loader, 6)

    @pytest.mark.parametrize("where", ["process", pytest.param("subprocess", marks=pytest.mark.slow)])
    def test_vectors_of_floats_as_labels(self, tmp_path, where):
        data, samples = tmp_path / "data", vector_samples(14)
        make_dataset(data, {"train": [samples], "val": [samples[:9]]}, label_kind="floats")
        files = write_job(tmp_path / "base", data, dict.fromkeys(("train0", "val0"), ("Pipe", "ShardedByS3Key")))
        for split, shape in (("train", [7, 7]), ("val", [7, 2])):
            content = shard_bytes(data, open_dataset(str(data)).manifest.split(split).shards)
            loader = self.open(files.base_dir, split, where=where)
            assert loader.label_shape == (7, None)
            with feeding((files.fifo(f"{split}0", epoch=0), content)), loader:
                batches = take(loader, 2)
            assert loader.label_shape == (7, 2)
            assert [batch.num_samples for batch in batches] == shape
            assert [(batch.labels.shape, batch.labels.dtype) for batch in batches] == [((7, 2), np.float32)] * 2
            found = sorted(tuple(row) for batch in batches for row in batch.labels[: batch.num_samples].tolist())
            assert found == [sample.label for sample in samples[: len(found)]]
            assert not batches[1].labels[batches[1].num_samples :].any()

    def test_vectors_of_different_lengths_are_an_error(self, tmp_path):
        samples = vector_samples(6) + [dataclasses.replace(sample, label=(0.5,)) for sample in make_samples(8)]
        make_dataset(tmp_path / "data", {"val": [samples]}, label_kind="floats")
        files = write_job(tmp_path / "base", tmp_path / "data", {"val0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(tmp_path / "data", open_dataset(str(tmp_path / "data")).manifest.split("val").shards)
        with feeding((files.fifo("val0", epoch=0), content)):
            loader = self.open(files.base_dir, "val", where="process")
            with pytest.raises(DataSetError, match="expected 2 label values, found 1"):
                take(loader, 2)
            assert loader.slot_memory is None

    def test_a_class_id_among_vectors_is_an_error(self, tmp_path):
        make_dataset(tmp_path / "data", {"val": [make_samples(8)]}, label_kind="floats")
        files = write_job(tmp_path / "base", tmp_path / "data", {"val0": ("Pipe", "ShardedByS3Key")})
        content = shard_bytes(tmp_path / "data", open_dataset(str(tmp_path / "data")).manifest.split("val").shards)
        loader = self.open(files.base_dir, "val", where="process")
        message = "sample 0 of the epoch: expected a vector of label values, found 0"
        with feeding((files.fifo("val0", epoch=0), content)), pytest.raises(DataSetError, match=message):
            take(loader, 1)

    def test_vectors_are_refused_where_a_rank_may_have_no_record(self, tmp_path):
        make_dataset(tmp_path / "data", {"val": [vector_samples(8), []]}, label_kind="floats", world=2)
        channels = dict.fromkeys(("val0", "val1"), ("Pipe", "ShardedByS3Key"))
        files = write_job(tmp_path / "base", tmp_path / "data", channels)
        source = ChannelInput(base_dir=files.base_dir, local_size=2)
        with pytest.raises(OptionsError, match="split 'val': expected a record for each of 2 ranks, found shards"):
            packer.Loader(source, "val", batch_size=2, image_px=8, world=2)
