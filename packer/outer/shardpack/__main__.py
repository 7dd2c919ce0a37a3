"""``python -m shardpack`` is the command ``shardpack``, as ``python -m packer`` is."""

from packer.cli.start import main

if __name__ == "__main__":
    main()
