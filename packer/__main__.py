"""``python -m packer`` is the command ``shardpack``."""

from packer.cli.start import main

if __name__ == "__main__":
    main()
