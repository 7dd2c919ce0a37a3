"""`python -m packer.trainer`, alone or under horovodrun or mpirun."""

from packer.trainer.cli import main

if __name__ == "__main__":
    main()
