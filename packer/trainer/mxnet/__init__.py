"""Training with MXNet's Gluon, on several ranks with Horovod."""
