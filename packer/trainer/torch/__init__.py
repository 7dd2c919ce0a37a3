"""Training with PyTorch: DistributedDataParallel over NCCL or Gloo, or Horovod."""
