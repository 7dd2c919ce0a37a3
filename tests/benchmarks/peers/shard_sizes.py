"""How near shardpack's shards come to the size that was asked for; packed once, not timed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packer.dataset.load import load_manifest
from packer.specs import MAX_SHARD_BYTES
from packer.stores.local import LocalStore
from tests.benchmarks.peers.corpora import Corpus

_SHARDS = 10
_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSizes:
    target_bytes: int
    mean_bytes: float
    largest_bytes: int
    num_shards: int

    @property
    def offset(self) -> float:
        """The mean's distance from the target, as a share of the target."""
        return self.mean_bytes / self.target_bytes - 1

    @property
    def fits(self) -> bool:
        return self.largest_bytes <= MAX_SHARD_BYTES and abs(self.offset) <= 0.15


def measure_shard_sizes(corpus: Corpus, dest: Path) -> ShardSizes:
    """Pack with a target of a tenth of the corpus, or of 1 MB, the least there is."""
    target_mb = max(1, corpus.packed_bytes // _SHARDS // _MB)
    places = [str(corpus.folder), str(dest)]
    options = ["--gpus", "1", "--shard-size", f"{target_mb}MB", "--flat", "--allow-fill", "--overwrite"]
    subprocess.run([sys.executable, "-m", "packer", "pack", *places, *options], check=True, capture_output=True)
    manifest = load_manifest(LocalStore(dest))
    assert manifest is not None
    sizes = [shard.num_bytes for shard in manifest.split("train").shards]
    return ShardSizes(
        target_bytes=target_mb * _MB,
        mean_bytes=sum(sizes) / len(sizes),
        largest_bytes=max(sizes),
        num_shards=len(sizes),
    )
