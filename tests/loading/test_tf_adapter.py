import sys

import numpy as np
import pytest

from packer.errors import MissingExtraError
from packer.loading.tf_adapter import tf_dataset
from tests.loading.test_loader import open_loader, take
from tests.reading.make_dataset import deal, make_dataset, make_samples


@pytest.fixture
def data(tmp_path):
    splits = {"train": deal(make_samples(24), 4), "val": deal(make_samples(13, first=1), 4)}
    make_dataset(tmp_path, splits, world=2)
    return tmp_path


def test_without_tensorflow_the_pip_command_is_named(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with open_loader(data) as loader, pytest.raises(MissingExtraError, match=r"pip install '\.\[tensorflow\]'"):
        tf_dataset(loader)


@pytest.mark.tensorflow
@pytest.mark.slow
class TestWithTensorFlow:
    """Needs TensorFlow throughout."""

    @pytest.fixture(autouse=True)
    def _tensorflow(self):
        self.tf = pytest.importorskip("tensorflow")

    def test_batches_are_the_loaders(self, data):
        with open_loader(data) as loader, open_loader(data) as other:
            found = list(tf_dataset(loader).take(9))
            expected = take(other, 9)
            assert loader.state_dict()["steps"] == 9
        for (images, labels, weights), batch in zip(found, expected, strict=True):
            assert (images.shape, images.dtype) == ((6, 16, 16, 3), self.tf.uint8)
            np.testing.assert_array_equal(images.numpy(), batch.images)
            assert (labels.numpy().tolist(), labels.dtype) == (batch.labels.tolist(), self.tf.int64)
            assert (weights.numpy().tolist(), weights.dtype) == ([1.0] * 6, self.tf.float32)

    def test_an_evaluation_ends(self, data):
        with open_loader(data, "val", batch_size=4) as loader:
            for _ in range(2):
                weights = [weights.numpy() for _, _, weights in tf_dataset(loader)]
                assert np.concatenate(weights).tolist() == [1.0] * 13 + [0.0] * 3
