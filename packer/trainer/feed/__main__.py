"""`python -m packer.trainer.feed`, on a host without a GPU."""

from packer.trainer.feed.early_signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()
    from packer.trainer.feed.feed_command import main  # importing its libraries takes a second

    main()
