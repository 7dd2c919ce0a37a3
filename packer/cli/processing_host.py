"""`python -m packer.cli.processing_host ARGUMENTS`: shardpack on one of the instances of a SageMaker Processing job.

All instances get the same command line. Each packs its own part: the one at place I of N hosts has --part I/N.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from packer.channels.jobfiles import ResourceConfig
from packer.cli.start import main as run
from packer.errors import DataSetError
from packer.parsing import ParseError, parse_json

CONFIG = "/opt/ml/config/resourceconfig.json"


def arguments_here(arguments: Sequence[str], config: str = CONFIG) -> list[str]:
    """Return a command line with this instance's part. Raises DataSetError: the job's file cannot be used."""
    try:
        with open(config, "rb") as file:
            resources = parse_json(file.read(), ResourceConfig)
        hosts = sorted(resources.hosts)
        place = hosts.index(resources.current_host)
    except (OSError, ParseError, ValueError) as error:
        raise DataSetError(
            f"{config}: expected what SageMaker tells an instance of a Processing job: {error}"
        ) from None
    return [*arguments, "--part", f"{place}/{len(hosts)}"]


def main() -> None:
    """Run the command line of this instance, and end the process with its exit code."""
    try:
        sys.argv[1:] = arguments_here(sys.argv[1:])
    except DataSetError as error:
        sys.exit(f"error: {error}")
    run()


if __name__ == "__main__":
    main()
