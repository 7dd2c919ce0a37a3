"""``shardpack pack`` as the program of spark-submit, on Amazon EMR or any other Spark.

    spark-submit --py-files shardpack.zip emr_pack.py SOURCE DEST --gpus 16 ...

Options (``--config FILE`` too), output and exit codes are those of the command line; the engine is always Spark.
"""

from __future__ import annotations

import sys

from packer.cli.main import run


def main() -> None:
    """Run the command; a failure ends the process with its exit code, success just returns."""
    code = run(["pack", *sys.argv[1:], "--engine", "spark"])
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
