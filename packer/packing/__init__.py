"""The tasks: an item's bytes to a sample, samples to a shard."""

TASK_MODULES = (
    *("packer.packing.probe", "packer.imaging.transform", "packer.packing.moved_fields"),
    *("packer.packing.encoder", "packer.imaging.fingerprint"),
    "packer.packing.shard",
)
"""What the tasks of a run need, in the order they need it."""
