"""The data host: `python -m packer.trainer.feed` makes batches for ranks on other hosts."""
