import collections
import dataclasses
import io
import itertools
import sys

import numpy as np
import pytest
from PIL import Image

from packer.errors import DataSetError, MissingExtraError, OptionsError
from packer.reading.dataset import open_dataset
from packer.reading.job_channels import Place, open_channels
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.records import iter_samples
from packer.reading.tf_data import evaluation_batches, import_tensorflow, training_batches
from packer.specs import FormatName
from tests.reading.containers import feeding, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import image_bytes, pack_small, write_images

NUM_TRAIN, NUM_VAL = 48, 13


@pytest.fixture(params=list(FormatName))
def dataset(tmp_path, request):
    splits = {"train": deal(make_samples(NUM_TRAIN), 4), "val": deal(make_samples(NUM_VAL, first=1), 4)}
    make_dataset(tmp_path, splits, container=request.param, world=2)
    return open_dataset(str(tmp_path))


def test_without_tensorflow_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[tensorflow\]'"):
        import_tensorflow()


@pytest.mark.parametrize(
    "fields", [{"batch_size": 0}, {"image_px": 0}, {"min_area": 0.0}, {"min_area": 1.1}, {"evaluation_crop": 0.0}]
)
def test_impossible_batches_are_refused(fields):
    with pytest.raises(OptionsError, match=next(iter(fields))):
        BatchSpec(**{"batch_size": 1, "image_px": 1} | fields)


@pytest.mark.tensorflow
class TestWithTensorFlow:
    """Needs TensorFlow throughout."""

    @pytest.fixture(autouse=True)
    def _tensorflow(self):
        self.tf = pytest.importorskip("tensorflow")

    def read_epoch(self, dataset, *, epoch=0, batch_size=6, **read):
        batch = BatchSpec(batch_size=batch_size, image_px=16)
        return list(training_batches(dataset, "train", ReadSpec(**read), batch, epoch=epoch).as_numpy_iterator())

    def labels(self, batches):
        return [int(label) for _, labels, _ in batches for label in labels]

    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_an_epoch_has_each_record_once_over_all_ranks(self, dataset, world):
        for epoch in range(2):
            ranks = [self.read_epoch(dataset, epoch=epoch, rank=rank, world=world) for rank in range(world)]
            assert {len(batches) for batches in ranks} == {NUM_TRAIN // world // 6}
            assert sorted(itertools.chain(*map(self.labels, ranks))) == list(range(NUM_TRAIN))

    def test_batches_have_the_promised_shape(self, dataset):
        images, labels, weights = self.read_epoch(dataset)[0]
        assert (images.shape, images.dtype) == ((6, 16, 16, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((6,), np.int64)
        assert weights.tolist() == [1.0] * 6

    def test_a_short_last_batch_is_left_out(self, dataset):
        batches = self.read_epoch(dataset, world=2, batch_size=7)
        assert len(batches) == dataset.steps("train", world=2, batch_size=7) == 3
        assert len(set(self.labels(batches))) == 21

    def test_order_and_crops_depend_on_seed_and_epoch_alone(self, dataset):
        same = [self.read_epoch(dataset, seed=5, epoch=2) for _ in range(2)]
        for first, second in zip(*same, strict=True):
            np.testing.assert_array_equal(first[0], second[0])
            np.testing.assert_array_equal(first[1], second[1])
        orders = [self.labels(self.read_epoch(dataset, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)]
        assert len({tuple(order) for order in orders}) == 4

    @pytest.mark.parametrize(("world", "batch_size"), [(1, 4), (2, 4), (4, 2), (4, 9)])
    def test_evaluation_has_each_record_once_and_equal_steps(self, dataset, world, batch_size):
        seen = collections.Counter()
        for rank in range(world):
            spec = BatchSpec(batch_size=batch_size, image_px=16)
            batches = list(evaluation_batches(dataset, "val", ReadSpec(rank=rank, world=world), spec))
            assert len(batches) == dataset.steps("val", world=world, batch_size=batch_size)
            for images, labels, weights in batches:
                assert images.shape == (batch_size, 16, 16, 3)
                assert not images.numpy()[weights == 0].any()
                seen.update(int(label) for label in labels.numpy()[weights == 1])
        assert seen == collections.Counter(range(1, NUM_VAL + 1))

    @pytest.mark.parametrize("encode", ["png", "keep"])
    def test_other_encodings(self, tmp_path, encode):
        dest = pack_small(write_images(tmp_path / "source", 32), tmp_path / "data", encode=encode, resize="20x20").dest
        spec = BatchSpec(batch_size=4, image_px=16)
        for batches in (
            training_batches(open_dataset(dest), "train", ReadSpec(), spec),
            training_batches(open_dataset(dest), "train", ReadSpec(rank=1, world=2), spec),
        ):
            images = np.concatenate([images for images, _, _ in batches.as_numpy_iterator()])
            assert images.shape[1:] == (16, 16, 3)
            assert images.std() > 10

    def test_kept_images_that_satisfied_the_request_may_be_webp(self, tmp_path):
        source = write_images(tmp_path / "source", 24)
        for index in range(24, 32):
            (source / f"c0/{index:04d}.webp").write_bytes(image_bytes(index, width=20, height=20, kind="WEBP"))
        result = pack_small(source, tmp_path / "data", encode="keep", resize="20x20", split="train=0.75,val=0.25")
        dataset, spec = open_dataset(result.dest), BatchSpec(batch_size=1, image_px=20, evaluation_crop=1.0)
        for split in ("train", "val"):
            assert "webp" in {sample.image_format for sample in iter_samples(dataset, split, ReadSpec())}
        assert len(list(training_batches(dataset, "train", ReadSpec(), spec))) == 24
        batches = evaluation_batches(dataset, "val", ReadSpec(), spec).as_numpy_iterator()
        for (images, _, _), sample in zip(batches, iter_samples(dataset, "val", ReadSpec()), strict=True):
            stored = np.asarray(Image.open(io.BytesIO(sample.encoded)).convert("RGB"))
            assert np.abs(images[0].astype(int) - stored).mean() < 3

    def test_transparency_that_was_kept_is_over_white(self, tmp_path):
        folder = tmp_path / "source/c0"
        folder.mkdir(parents=True)
        for index in range(4):
            Image.new("RGBA", (20, 20), (0, 0, 0, 128)).save(folder / f"{index}.png")
        dest = pack_small(folder.parent, tmp_path / "data", encode="png", alpha="keep", resize="20x20").dest
        batch = BatchSpec(batch_size=4, image_px=16)
        ((images, _, _),) = training_batches(open_dataset(dest), "train", ReadSpec(), batch).as_numpy_iterator()
        assert (images == 127).all()

    def test_images_that_were_kept_as_they_were_are_refused_before_the_first_batch(self, tmp_path):
        dest = pack_small(write_images(tmp_path / "source", 32), tmp_path / "data", encode="keep", resize=None).dest
        dataset, spec = open_dataset(dest), BatchSpec(batch_size=4, image_px=16)
        with pytest.raises(OptionsError, match=r"found images of any kind, .*; pack with --resize, or .*torch_data"):
            training_batches(dataset, "train", ReadSpec(), spec)

    def test_webp_is_refused_since_tensorflow_cannot_decode_it(self, tmp_path):
        dest = pack_small(write_images(tmp_path / "source", 32), tmp_path / "data", encode="webp").dest
        with pytest.raises(OptionsError, match="expected samples that TensorFlow decodes .* found webp; .*torch_data"):
            training_batches(open_dataset(dest), "train", ReadSpec(), BatchSpec(batch_size=4, image_px=16))

    def test_evaluation_images_are_the_centre_of_the_stored_ones(self, dataset):
        spec = BatchSpec(batch_size=1, image_px=28)  # 0.875 of the stored 32 pixels: nothing is scaled
        images, labels, _ = next(iter(evaluation_batches(dataset, "val", ReadSpec(), spec)))
        stored = {sample.label: sample.encoded for sample in make_samples(NUM_VAL, first=1)}
        expected = self.tf.io.decode_jpeg(stored[int(labels[0])]).numpy()[2:30, 2:30]
        assert np.abs(images[0].numpy().astype(int) - expected).mean() < 1

    def test_wide_images_are_not_distorted(self, tmp_path):
        make_dataset(tmp_path, {"val": [[wide_sample()]]})
        spec = BatchSpec(batch_size=1, image_px=32, evaluation_crop=1.0)
        images, _, _ = next(iter(evaluation_batches(open_dataset(str(tmp_path)), "val", ReadSpec(), spec)))
        # Of a white square on black in the middle, the central crop is white throughout.
        assert images.numpy().min() > 200

    def test_a_shard_with_too_few_records_does_not_end_the_epoch_quietly(self, dataset, tmp_path):
        shard = tmp_path / dataset.manifest.split("train").shards[0].key
        shard.write_bytes(b"")
        with pytest.raises(self.tf.errors.OpError, match=rf"expected to contain {NUM_TRAIN} elements|found 0"):
            self.read_epoch(dataset)

    def test_padding_does_not_stand_in_for_records_that_are_missing(self, dataset, tmp_path):
        shard = tmp_path / dataset.manifest.split("val").shards[0].key
        shard.write_bytes(b"")
        batches = evaluation_batches(dataset, "val", ReadSpec(), BatchSpec(batch_size=2, image_px=16))
        with pytest.raises(self.tf.errors.OpError, match=rf"expected to contain {NUM_VAL} elements|found 0"):
            list(batches)

    @pytest.mark.parametrize("taken", [1, 8])
    def test_a_pipe_is_closed_when_the_iterator_is_dropped(self, dataset, tmp_path, taken):
        """So that its writer does not wait for ever, and the next epoch can come."""
        files = write_job(tmp_path / "base", tmp_path, {"train0": ("Pipe", "ShardedByS3Key")})
        source = open_channels(files.base_dir, Place())
        content = shard_bytes(tmp_path, dataset.manifest.split("train").shards)
        epochs = [(files.fifo("train0", epoch=epoch), content) for epoch in range(3)]
        batch = BatchSpec(batch_size=6, image_px=16)
        with feeding(*epochs):
            for epoch in range(2):
                batches = iter(training_batches(source, "train", ReadSpec(pipe_timeout_s=20), batch, epoch=epoch))
                seen = [next(batches) for _ in range(taken)]
                assert len({int(label) for _, labels, _ in seen for label in labels}) == 6 * taken
                del batches
            assert len(list(training_batches(source, "train", ReadSpec(pipe_timeout_s=20), batch))) == 8

    def test_a_pipe_for_evaluation_is_padded(self, dataset, tmp_path):
        files = write_job(tmp_path / "base", tmp_path, {"val0": ("Pipe", "ShardedByS3Key")})
        source = open_channels(files.base_dir, Place())
        content = shard_bytes(tmp_path, reversed(dataset.manifest.split("val").shards))
        spec = BatchSpec(batch_size=5, image_px=16)
        with feeding((files.fifo("val0", epoch=0), content), (files.fifo("val0", epoch=1), content[:-200])):
            batches = list(evaluation_batches(source, "val", ReadSpec(pipe_timeout_s=20), spec))
            assert len(batches) == 3
            weights = np.concatenate([weights for _, _, weights in batches])
            assert weights.tolist() == [1.0] * NUM_VAL + [0.0] * 2
            with pytest.raises(self.tf.errors.OpError, match="val0_1: record 12 at byte .* the file is cut short"):
                list(evaluation_batches(source, "val", ReadSpec(pipe_timeout_s=20), spec))

    def test_splits_of_the_wrong_kind_are_refused(self, dataset):
        batch = BatchSpec(batch_size=1, image_px=16)
        with pytest.raises(OptionsError, match="expected a training split, got 'val'"):
            training_batches(dataset, "val", ReadSpec(), batch)
        with pytest.raises(OptionsError, match="expected an evaluation split, got 'train'"):
            evaluation_batches(dataset, "train", ReadSpec(), batch)

    def test_labels_must_be_classes(self, tmp_path):
        make_dataset(tmp_path, {"train": [make_samples(4)]}, label_kind="floats")
        with pytest.raises(DataSetError, match="expected class labels, found floats"):
            training_batches(open_dataset(str(tmp_path)), "train", ReadSpec(), BatchSpec(batch_size=1, image_px=16))


def wide_sample():
    """Return a JPEG of 96 x 32 pixels, white in the middle third."""
    image = Image.new("RGB", (96, 32))
    image.paste((255, 255, 255), (32, 0, 64, 32))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=95)
    return dataclasses.replace(make_samples(1)[0], encoded=encoded.getvalue(), width=96, height=32)
