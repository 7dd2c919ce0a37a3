"""Training with Keras in TensorFlow, on several ranks with Horovod."""
