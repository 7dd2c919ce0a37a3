import sys

import numpy as np
import pytest

from packer.errors import MissingExtraError
from packer.loading.mxnet_adapter import mxnet_batches
from tests.loading.test_loader import open_loader, take
from tests.reading.make_dataset import deal, make_dataset, make_samples


@pytest.fixture
def data(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(24), 4)}, world=2)
    return tmp_path


def test_without_mxnet_the_pip_command_is_named(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "mxnet", None)
    with open_loader(data) as loader, pytest.raises(MissingExtraError, match=r"pip install '\.\[mxnet\]'"):
        next(mxnet_batches(loader))


@pytest.mark.mxnet
@pytest.mark.slow
def test_arrays_are_the_loaders_batches(data):
    pytest.importorskip("mxnet")
    with open_loader(data) as loader, open_loader(data) as other:
        found = [batch for batch, _ in zip(mxnet_batches(loader), range(9), strict=False)]
        expected = take(other, 9)
    for batch, theirs in zip(found, expected, strict=True):
        assert (batch.images.dtype, batch.labels.dtype, batch.weights.dtype) == (np.uint8, np.int64, np.float32)
        np.testing.assert_array_equal(batch.images.asnumpy(), theirs.images)
        np.testing.assert_array_equal(batch.labels.asnumpy(), theirs.labels)
        assert batch.weights.asnumpy().tolist() == [1.0] * 6
