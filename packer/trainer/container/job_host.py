"""`python -m packer.trainer.container.job_host`: the data host of a SageMaker job, with the job's hyperparameters.

A job's hyperparameters are the trainer's options. A data host shares those that name the data set and its store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from packer.channels.jobfiles import (
    BASE_DIR_VARIABLE,
    DEFAULT_BASE_DIR,
    is_training_container,
    load_hyperparameters,
)
from packer.flags import option_name
from packer.logs import LogSettings
from packer.trainer.core.bucket_options import BucketOptions
from packer.trainer.core.feed_options import port_of_feed
from packer.trainer.feed.feed_command import main as serve

_SHARED = ("data", "manifest", "cache", *BucketOptions.__struct_fields__, *LogSettings.__struct_fields__)
"""Options that trainer and data host share under the same names."""


def main(arguments: Sequence[str]) -> None:
    """Serve until training is over, and end the process. `arguments` override hyperparameters."""
    base_dir = os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)
    given = load_hyperparameters(base_dir) if is_training_container(base_dir) else {}
    serve([*host_arguments(given), *arguments])


def host_arguments(hyperparameters: Mapping[str, object]) -> list[str]:
    """Return a data host's command line, given a job's decoded hyperparameters."""
    values = {name: hyperparameters.get(option_name(name)[2:]) for name in _SHARED}
    values["token_file"] = hyperparameters.get("feed-token-file")
    values["port"] = port_of_feed(str(hyperparameters.get("feed", "")))
    arguments: list[str] = []
    for name, value in values.items():
        if value is True:
            arguments.append(option_name(name))
        elif value not in (None, False, ""):
            arguments += [option_name(name), str(value)]
    return arguments


if __name__ == "__main__":
    main(sys.argv[1:])
