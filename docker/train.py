"""What SageMaker's training toolkit starts on each rank: the trainer, with the hyperparameters as its options."""

from packer.trainer.cli import main

if __name__ == "__main__":
    main()
