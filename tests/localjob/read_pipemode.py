"""A rank that reads its Pipe channel with SageMaker's PipeModeDataset: ``read_pipemode.py OUT FORMAT``.

FORMAT is the dataset's: TFRecord or RecordIO. Writes OUT/<rank>.json: the records of two epochs in hexadecimal digits.
Runs in an environment of its own, in which shardpack is not installed.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from sagemaker_tensorflow import PipeModeDataset

out, record_format = Path(sys.argv[1]), sys.argv[2]
base, rank, local_rank = Path(os.environ["SAGEMAKER_BASE_DIR"]), os.environ["RANK"], os.environ["LOCAL_RANK"]
with tempfile.TemporaryDirectory() as state_dir:
    dataset = PipeModeDataset(
        f"train{local_rank}",
        record_format=record_format,
        state_dir=state_dir,
        pipe_dir=str(base / "input" / "data"),
        config_dir=str(base / "input" / "config"),
    )
    epochs = [[record.numpy().hex() for record in dataset] for _ in range(2)]
(out / f"{rank}.json").write_text(json.dumps(epochs))
