"""Names of everything in a data set, relative to its root."""

from __future__ import annotations

MANIFEST_KEY = "manifest.json"
META_PREFIX = "meta/"
PLAN_KEY = "meta/plan.json"
PLAN_LOCK_KEY = "meta/plan.lock"
"""Held for a moment by who claims a destination on a file system without hard links."""
LABELS_KEY = "meta/labels.json"
REJECTS_KEY = "meta/rejects.jsonl"
RUN_KEY = "meta/run.json"
COPIES_KEY = "meta/duplicates.parquet"
NEAR_KEY = "meta/near_duplicates.parquet"
CROISSANT_KEY = "croissant.json"
CARD_KEY = "README.md"
PLAN_PARTS_PREFIX = "meta/plan/"
RECEIPTS_PREFIX = "meta/receipts/"
SAGEMAKER_PREFIX = "meta/sagemaker/"


def shard_stem(split: str, shard_index: int, num_shards: int) -> str:
    """Return ``train-00012-of-00128``."""
    return f"{split}-{shard_index:05d}-of-{num_shards:05d}"


def shard_key(split: str, stem: str, suffix: str) -> str:
    """Return ``train/train-00012-of-00128.tfrecord``."""
    return f"{split}/{stem}{suffix}"


def stem_of(key: str) -> str:
    """Return ``train-00012-of-00128`` for ``train/train-00012-of-00128.tfrecord``."""
    return key.rpartition("/")[2].rpartition(".")[0]


def shard_index_of(key: str) -> int:
    """Return 12 for ``train/train-00012-of-00128.tfrecord``."""
    return int(key.rsplit("-", 3)[1])


def index_key(split: str, stem: str) -> str:
    """Return where a shard's offsets are kept."""
    return f"meta/index/{split}/{stem}.idx"


def side_key(split: str, stem: str, suffix: str) -> str:
    """Return where another file beside a shard is kept, such as a RecordIO shard's ``.lst``."""
    return f"meta/index/{split}/{stem}{suffix}"


def merged_index_key(split: str) -> str:
    """Return where a split's index over all of its shards is kept."""
    return f"meta/index/{split}.idx"


def records_key(split: str, stem: str) -> str:
    """Return where the table of a shard's records is kept."""
    return f"meta/records/{split}/{stem}.parquet"


def receipts_prefix(plan_id: str) -> str:
    """Return what the keys of a plan's receipts begin with; those of different plans never meet."""
    return f"{RECEIPTS_PREFIX}{plan_id[:16]}/"


def receipt_key(plan_id: str, stem: str) -> str:
    """Return where a packed shard's receipt is kept until the commit."""
    return f"{receipts_prefix(plan_id)}{stem}.json"


def old_receipt_key(stem: str) -> str:
    """Return where runs kept it before receipts lay apart by plan."""
    return f"{RECEIPTS_PREFIX}{stem}.json"


def plan_parts_prefix(plan_id: str) -> str:
    """Return what the keys of a plan's items begin with; those of different plans never meet."""
    return f"{PLAN_PARTS_PREFIX}{plan_id[:16]}-"


def plan_part_key(plan_id: str, split: str, part_index: int) -> str:
    """Return where the items of some of a split's shards are kept."""
    return f"{plan_parts_prefix(plan_id)}{split}-{part_index:05d}.parquet"


def planned_copies_key(plan_id: str) -> str:
    """Return where the sets of copies are kept that a plan left items out of."""
    return f"{plan_parts_prefix(plan_id)}copies.parquet"


def planned_near_key(plan_id: str) -> str:
    """Return where the near-duplicates are kept that a plan was made with."""
    return f"{plan_parts_prefix(plan_id)}near.parquet"


def channel_manifest_key(split: str, *, local_size: int, local_rank: int | None = None) -> str:
    """Return where SageMaker's list of a split's shards is kept, or of one local rank's share of them."""
    rank = "" if local_rank is None else str(local_rank)
    return f"{SAGEMAKER_PREFIX}L{local_size}/{split}{rank}.manifest"
