"""The tasks: an item's bytes to a sample, samples to a shard."""

TASK_MODULES = ("packer.packing.probe", "packer.packing.shard")
"""Where the tasks of a run come from, in the order they are needed."""
