"""Rules for the names of channels, and where a training container finds a channel.

A channel is one input of a SageMaker training job. Its name becomes a folder, part of a FIFO's name, and part of an
environment variable's name, so it must be valid as each of them:

    File, FastFile    <data>/train0/              a folder
    Pipe              <data>/train0_3             the FIFO of epoch 3
    variable          SM_CHANNEL_TRAIN0           written by a shell in some launchers
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

from packer.errors import OptionsError

META_CHANNEL = "meta"
"""Name of the channel that carries `manifest.json`."""
MAX_CHANNELS = 20
"""Most channels of one training job."""
MAX_NAME_CHARS = 64
RESERVED_NAMES = ("code", "sm_drivers", "recipe")
"""Names of channels that SageMaker's own Python SDK (version 3) adds to a job."""


class InputMode(enum.StrEnum):
    """How a channel reaches the container. The first three are SageMaker's input modes."""

    FILE = "File"
    """Downloaded to the instance's disk before the start."""
    FAST_FILE = "FastFile"
    """A read-only view of a prefix, fetched as it is read."""
    PIPE = "Pipe"
    """Streamed through one FIFO per channel and epoch, each read by one process."""
    FILE_SYSTEM = "FileSystem"
    """A mounted file system: EFS or FSx for Lustre."""


def channel_name(split: str, local_rank: int | None = None) -> str:
    """Return the name of a split's channel, or of one local rank's channel: ``train`` or ``train0``."""
    return split.replace("-", "_") + ("" if local_rank is None else str(local_rank))


def check_channel_names(names: Sequence[str]) -> None:
    """Check the names of all channels of one job.

    Raises:
        OptionsError: a name is malformed or reserved; or its FIFO or environment variable would have the same name as
            that of another channel; or there are more channels than a job can have.
    """
    for index, name in enumerate(names):
        if name in RESERVED_NAMES:
            problem = "the name is one that SageMaker's Python SDK adds to jobs"
        else:
            problem = channel_name_problem(name, others=names[:index])
        if problem:
            raise OptionsError(f"channel {name!r}: {problem}; name the split differently")
    if len(names) > MAX_CHANNELS:
        raise OptionsError(
            f"channels: expected at most {MAX_CHANNELS} in a job, got {len(names)} ({', '.join(names)}); "
            "name fewer splits with `splits`, or use `mode=FastFile`, which needs one channel a split"
        )


def channel_name_problem(name: str, *, others: Sequence[str]) -> str:
    """Return what is wrong with a channel's name, given the names of other channels; empty if it is valid."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or len(name) > MAX_NAME_CHARS:
        return (
            f"expected 1 to {MAX_NAME_CHARS} letters, digits and underscores that do not begin with a digit, since the "
            "name becomes an environment variable"
        )
    if re.search(r"_[0-9]+$", name):
        return (
            "expected a name that does not end in an underscore and digits, since that is how the FIFO of an epoch of "
            f"channel {name.rpartition('_')[0]!r} is called"
        )
    same = [other for other in others if other.upper() == name.upper()]
    if same:
        return (
            "expected names that differ in more than case, since each becomes an environment variable "
            f"SM_CHANNEL_{name.upper()}; {same[0]!r} has the same one"
        )
    return ""
