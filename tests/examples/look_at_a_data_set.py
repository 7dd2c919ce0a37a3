"""What is in a data set, from Python: splits, classes, samples, and the tables that say where each came from.

python tests/examples/look_at_a_data_set.py shards/
"""

import io
import sys
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

import packer
from packer.reading.records import ReadSpec, iter_samples

folder = Path(sys.argv[1])
dataset = packer.open(str(folder))
print(dataset)
for name, split in dataset.manifest.splits.items():
    print(f"{name}: {split.num_records} records in {len(split.shards)} shards, by class id {split.label_counts}")

# Every record of a split once, in stored order; an encoded sample is an image file.
for number, sample in enumerate(iter_samples(dataset, "val", ReadSpec())):
    picture = Image.open(io.BytesIO(sample.encoded))
    print(f"val {number}: {sample.key}, {sample.label} ({sample.class_text}), {picture.width} x {picture.height}")

# One table beside each shard: no shard is read for this.
for path in sorted(folder.glob("meta/records/val/*.parquet")):
    table = pq.read_table(path)
    print(f"{path.name}: {table.num_rows} rows of {', '.join(table.column_names)}")
