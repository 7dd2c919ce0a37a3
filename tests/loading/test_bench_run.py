import json
import time

import pytest

from packer.errors import OptionsError
from packer.loading.bench_run import BenchOptions, parse_step, run_bench
from tests.cli.commands import shardpack
from tests.reading.make_dataset import deal, make_dataset, make_samples


@pytest.fixture
def dataset(tmp_path):
    make_dataset(tmp_path / "dataset", {"train": deal(make_samples(24), 4), "val": deal(make_samples(6), 2)})
    return str(tmp_path / "dataset")


@pytest.mark.slow
def test_stages_speed_and_a_consumer(dataset):
    options = BenchOptions(dest=dataset, batch_size=4, image_px=32, threads=2, step_s=0.02, num_gpus=2, seconds=0.3)
    began_s = time.process_time()
    result = run_bench(options)
    cpu_s = time.process_time() - began_s
    assert result.threads == 2
    assert result.stored_short_side_px > 0
    assert min(result.store_us, result.decode_us + result.scale_us, result.cpu_us, result.capacity) > 0
    assert result.cpu_us * 1e-6 * result.capacity * 0.3 <= cpu_s
    assert result.wanted == pytest.approx(4 * 2 / 0.02)
    assert result.reached is not None
    assert result.reached <= result.wanted * 1.2  # it takes no more than it says
    assert result.split_bytes > 1000
    assert not result.is_remote


@pytest.mark.slow
def test_a_split_that_ends_is_read_again(dataset):
    result = run_bench(BenchOptions(dest=dataset, split="val", batch_size=4, image_px=16, threads=1, seconds=0.2))
    assert result.capacity > 0
    assert result.wanted is None


@pytest.mark.parametrize(("text", "expected"), [("64ms", 0.064), ("0.5s", 0.5), (" 12.5ms ", 0.0125)])
def test_a_step(text, expected):
    assert parse_step(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "64", "ms", "0ms", "-1s", "1h", "1e3ms"])
def test_what_is_no_step(text):
    with pytest.raises(OptionsError, match="`step`: expected a time such as 64ms"):
        parse_step(text)


@pytest.mark.slow
def test_the_command(dataset, capfd):
    given = ("bench", dataset, "--batch-size", 4, "--image-px", 32, "--seconds", 0.2, "--step", "50ms")
    code, out, _ = shardpack(capfd, *given)
    assert code == 0
    assert "images/s at full speed" in out
    assert "bound by: " in out
    code, out, _ = shardpack(capfd, *given, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["wanted"] == pytest.approx(80)
    assert {"binds", "advice", "keeps_up", "wanted_cpus", "store_us", "decode_us", "scale_us"} <= set(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--step", "64"), "--step: expected a time"),
        (("--split", "test"), "split 'test' is not in the data set"),
        (("--batch-size", "1000000"), "batch size: expected 1 to"),
        (("--cache", "nowhere"), "cache: expected a folder and a size"),
    ],
)
def test_bad_options_are_one_line(dataset, capfd, options, message):
    code, _, errors = shardpack(capfd, "bench", dataset, *options)
    assert code in (1, 2)
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_no_data_set(tmp_path, capfd):
    code, _, errors = shardpack(capfd, "bench", tmp_path)
    assert code == 2
    assert "expected a finished data set" in errors
