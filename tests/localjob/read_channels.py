"""A rank that reads two epochs of each split through its job's channels: ``read_channels.py OUT [SEED]``.

Writes OUT/<rank>.json: the labels of each epoch, what the rank saw of its job, and the heavy libraries it has loaded.
"""

import json
import os
import sys
from pathlib import Path

from packer.reading.job_channels import Place, open_channels
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.trainer.core.world import parse_world

out, seed = Path(sys.argv[1]), int(sys.argv[2])
world = parse_world(os.environ)
place = Place(rank=world.rank, world=world.size, local_rank=world.local_rank, local_size=world.local_size)
source = open_channels(os.environ["SAGEMAKER_BASE_DIR"], place)
spec = ReadSpec(rank=world.rank, world=world.size, seed=seed, shuffle_records=7, pipe_timeout_s=20)
epochs = {"train": [], "val": []}
shares = [source.check(split, rank=world.rank, world=world.size).delivery for split in epochs]
for epoch in range(2):
    for split, keys in epochs.items():
        keys.append([sample.label for sample in iter_samples(source, split, spec, epoch=epoch)])
loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"tensorflow", "torch", "mxnet", "PIL", "pyspark"})
(out / f"{world.rank}.json").write_text(json.dumps({"epochs": epochs, "ways": shares, "loaded": loaded}))
