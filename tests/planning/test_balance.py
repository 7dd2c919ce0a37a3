import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.planning.balance import KnownSizes, choose_shards_for_sizes, deal_by_size, largest_shard_bytes
from packer.planning.splits import IntArray
from packer.specs import ShardSpec

MB = 10**6
LIMIT = 128 * MB

# Many sizes of all magnitudes, and some that hold most of the bytes.
tiny = st.integers(1, 200_000)
huge = st.integers(20 * MB, LIMIT)
heavy_tailed = st.tuples(st.lists(tiny | st.integers(1, 5 * MB), max_size=300), st.lists(huge, max_size=12)).map(
    lambda parts: parts[0] + parts[1]
)


def sharding(world: int = 1, target_mb: int = 128) -> ShardSpec:
    return ShardSpec(world=world, target_bytes=target_mb * MB, allow_fill=True, stratify=False)


def cut(sizes: IntArray, spec: ShardSpec, *, training: bool = True, classes: IntArray | None = None) -> list[int]:
    """Return the bytes of each shard, planned fills left out."""
    num_shards, dealt = choose_shards_for_sizes("train", KnownSizes(sizes), spec, is_training=training, classes=classes)
    assert num_shards % spec.world == 0
    return np.bincount(dealt, weights=sizes, minlength=num_shards).astype(np.int64).tolist()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.integers(1, 20))
def test_dealt_shards_are_equal_in_items_and_near_in_bytes(sizes: list[int], num_shards: int) -> None:
    framed = np.array(sizes, dtype=np.int64)
    dealt = deal_by_size(framed, num_shards)
    counts = np.bincount(dealt, minlength=num_shards).tolist()
    assert counts == [len(sizes) // num_shards + (n < len(sizes) % num_shards) for n in range(num_shards)]
    held = np.bincount(dealt, weights=framed, minlength=num_shards)
    assert held.max() - held.min() <= max(sizes)


def test_the_largest_items_lie_with_the_smallest() -> None:
    sizes = np.array([1, 100, 2, 60, 3, 50, 4, 5], dtype=np.int64)
    assert deal_by_size(sizes, 2).tolist() == [1, 0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(("training", "expected"), [(True, 17), (False, 12)])
def test_a_training_shard_that_lacks_a_record_repeats_its_smallest(training: bool, expected: int) -> None:
    sizes, dealt = np.array([6, 1, 5, 7, 5]), np.array([0, 0, 0, 1, 1])
    assert largest_shard_bytes(sizes, dealt, 2, is_training=training) == expected


@given(heavy_tailed, st.integers(1, 9), st.integers(1, 128), st.booleans(), st.booleans())
def test_no_shard_passes_the_limit(
    sizes: list[int], world: int, target_mb: int, training: bool, stratify: bool
) -> None:
    framed = np.array(sizes, dtype=np.int64)
    classes = np.arange(len(sizes)) % 3 if stratify else None
    try:
        shards = cut(framed, sharding(world, target_mb), training=training, classes=classes)
    except OptionsError as error:
        assert "leave out the largest" in str(error)
    else:
        assert max(shards) <= LIMIT or len(shards) > len(sizes)  # more shards than items: refused by check_fit


@pytest.mark.parametrize("target_mb", [1, 40, 100, 110, 120, 125, 128])
@pytest.mark.parametrize("world", [1, 4])
@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0])
def test_the_mean_is_near_the_target_where_images_are_small_beside_it(target_mb: int, world: int, sigma: float) -> None:
    """Sizes of one spread or another, an image at most a twentieth of a shard, and bytes enough for twelve rounds."""
    rng = np.random.default_rng(target_mb)
    sizes = np.minimum(rng.lognormal(0, sigma, 2000 * world) * target_mb * MB / 150, target_mb * MB / 20)
    shards = cut(sizes.astype(np.int64), sharding(world, target_mb))
    assert max(shards) <= LIMIT
    assert abs(np.mean(shards) / (target_mb * MB) - 1) <= 0.15


def test_items_are_dealt_in_hash_order_unless_a_shard_would_pass_the_limit() -> None:
    sizes = np.random.default_rng(0).integers(1, MB, 400)
    num_shards, dealt = choose_shards_for_sizes(
        "train", KnownSizes(sizes), sharding(4, 20), is_training=True, classes=None
    )
    assert dealt.tolist() == [item % num_shards for item in range(400)]
    sizes[::num_shards] += 20 * MB
    dealt_anew = choose_shards_for_sizes("train", KnownSizes(sizes), sharding(4, 20), is_training=True, classes=None)[1]
    assert len(set(dealt_anew[::num_shards])) > 1


def test_a_huge_item_makes_all_shards_smaller() -> None:
    sizes = np.full(20_000, 100_000, dtype=np.int64)
    sizes[777] = 100 * MB
    shards = cut(sizes, sharding())
    assert max(shards) <= LIMIT
    assert sorted(shards)[-2] < 30 * MB


def test_items_that_fit_no_shards_are_refused() -> None:
    sizes = np.array([70 * MB] * 3 + [126 * MB], dtype=np.int64)
    with pytest.raises(OptionsError, match=r"split 'train': 4 items, the largest of 126,000,000 bytes, fit no number"):
        cut(sizes, sharding())
