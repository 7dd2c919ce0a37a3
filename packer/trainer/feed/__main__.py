"""`python -m packer.trainer.feed`, on a host without a GPU."""

from packer.trainer.feed.feed_command import main

if __name__ == "__main__":
    main()
