"""What SageMaker's training toolkit starts: on hosts that train each rank, on a data host the feed."""

from packer.trainer.container.host_entry import main

if __name__ == "__main__":
    main()
