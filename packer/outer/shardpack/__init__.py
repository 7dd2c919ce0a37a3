"""The command's own name as a module: ``python -m shardpack``. The package to import is `packer`."""
