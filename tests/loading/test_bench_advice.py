import msgspec
import pytest

from packer.loading.bench_advice import BenchResult, advise

BASE = BenchResult(
    dest="packed",
    split="train",
    split_bytes=140_000_000_000,
    image_px=224,
    batch_size=256,
    threads=8,
    num_cpus=8,
    decoder_id="region-1",
    is_remote=False,
    cache="",
    store_us=25,
    store_wait_us=30,
    decode_us=300,
    scale_us=150,
    hand_over_us=1,
    cpu_us=500,
    stored_short_side_px=256,
    capacity=15_000,
)


def result(**changes):
    return msgspec.structs.replace(BASE, **changes)


def paced(**changes):
    return result(**{"wanted": 32_000, "reached": 15_000, "waited_share": 0.5} | changes)


def whats(found):
    return [advice.what for advice in advise(found)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "decode"),
        ({"scale_us": 400}, "crop and scale"),
        ({"store_us": 301}, "store"),
        ({"store_wait_us": 20_000}, "decode"),  # of a file: it waited for a processor
        ({"store_wait_us": 20_000, "is_remote": True}, "store"),
        ({"store_wait_us": 20_000, "is_remote": True, "cache": "/nvme:1GB"}, "decode"),
        ({"hand_over_us": 40}, "hand-over"),  # by one thread, while eight make batches
        ({"wanted": 9_000, "waited_share": 0.01}, "consumer"),
        ({"wanted": 9_000, "waited_share": 0.03}, "decode"),
    ],
)
def test_what_binds(changes, expected):
    assert result(**changes).binds == expected


def test_a_loader_that_keeps_up_needs_nothing():
    found = result(wanted=9_000, reached=9_000, waited_share=0.0, decoder_id="whole-1", threads=1)
    assert found.keeps_up
    assert advise(found) == []
    assert BASE.keeps_up is None


def test_processors_for_a_consumption():
    assert paced().wanted_cpus == 18  # 32,000 x 500 us = 16 s of CPU time in a second, at nine tenths of each
    assert BASE.wanted_cpus is None
    (advice,) = advise(paced())
    assert advice.what == "a data group of 10 vCPUs or more, or a machine of 18"
    assert "8 are here" in advice.effect
    assert whats(paced(num_cpus=18, threads=18)) == []


def test_more_threads():
    (advice,) = advise(result(threads=2, capacity=4_000))
    assert advice.what == "`threads=8` instead of 2"
    assert advice.effect == "up to 16,000 images/s"


def test_a_thread_that_waits_leaves_its_processor_to_another():
    found = result(is_remote=True, store_us=25, store_wait_us=20_000, capacity=400)
    assert whats(found)[0] == "`threads=345` instead of 8"
    assert whats(found)[1].startswith("`cache=/a/local/folder:140GB")
    assert "threads" not in str(whats(result(is_remote=True, cache="/nvme:140GB", store_wait_us=20_000)))


def test_the_compiled_part():
    assert whats(result(decoder_id="whole-1")) == [
        "a wheel with the compiled part, which decodes no more of a picture than its crop needs"
    ]


@pytest.mark.parametrize(("side", "is_told"), [(256, False), (290, False), (300, True), (500, True)])
def test_fewer_stored_pixels(side, is_told):
    found = advise(result(stored_short_side_px=side))
    assert [advice.what.startswith("pack with `resize=256`") for advice in found] == [True] * is_told
    if side == 500:
        assert found[0].effect == "about 221 us less for an image, which costs 500 now"
