"""Do items fit a container? What RecordIO's labels and MXNet's lists cannot hold is told before anything is written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import OptionsError
from packer.formats.index import UNLISTABLE_PATH
from packer.formats.irheader import MAX_CLASS_ID
from packer.specs import FormatName


def check_items(items: pa.Table, container: FormatName) -> None:
    """Check keys and class ids against what the shards of a container, and the lists beside them, hold.

    Raises:
        OptionsError: some do not fit; the text has their number and the first in the order of the table.
    """
    if container is not FormatName.RECORDIO:
        return
    keys = items.column("key")
    unfit = pc.match_substring_regex(keys, UNLISTABLE_PATH)
    if num_unfit := pc.sum(unfit).as_py():
        raise OptionsError(
            f"--format recordio: {num_unfit:,} of {len(keys):,} keys cannot stand in a .lst file, the first is "
            f"{keys.filter(unfit)[0].as_py()!r}: expected no tabs, line breaks and outer spaces; rename the files, or "
            f"use --format tfrecord"
        )
    if "label" not in items.column_names or not pa.types.is_integer(items.schema.field("label").type):
        return
    labels = items.column("label")
    unfit = pc.or_(pc.less(labels, 0), pc.greater(labels, MAX_CLASS_ID))
    if num_unfit := pc.sum(unfit).as_py():
        raise OptionsError(
            f"--format recordio: {num_unfit:,} of {len(keys):,} items have a class id that its float32 label does not "
            f"hold, the first is {labels.filter(unfit)[0].as_py()} of {keys.filter(unfit)[0].as_py()}: expected 0 to "
            f"{MAX_CLASS_ID}; number the classes from 0, or use --format tfrecord"
        )
