"""Do items fit a container? What its records, and the files beside them, cannot hold is told before any is written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import OptionsError
from packer.formats.registry import get_format
from packer.specs import FormatName


def check_items(items: pa.Table, container: FormatName) -> None:
    """Check keys and class ids against the limits of a container.

    Raises:
        OptionsError: some do not fit; the text has their number and the first in the order of the table.
    """
    limits = get_format(container).limits
    keys = items.column("key")
    if limits.unfit_key:
        unfit = pc.match_substring_regex(keys, limits.unfit_key)
        if num_unfit := pc.sum(unfit).as_py():
            raise OptionsError(
                f"--format {container}: {num_unfit:,} of {len(keys):,} keys do not fit, the first is "
                f"{keys.filter(unfit)[0].as_py()!r}: {limits.key_rule}"
            )
    has_classes = "label" in items.column_names and pa.types.is_integer(items.schema.field("label").type)
    if limits.class_ids is not None and has_classes:
        labels = items.column("label")
        unfit = pc.or_(pc.less(labels, limits.class_ids.start), pc.greater_equal(labels, limits.class_ids.stop))
        if num_unfit := pc.sum(unfit).as_py():
            raise OptionsError(
                f"--format {container}: {num_unfit:,} of {len(keys):,} items have a class id that does not fit, the "
                f"first is {labels.filter(unfit)[0].as_py()} of {keys.filter(unfit)[0].as_py()}: {limits.class_rule}"
            )
