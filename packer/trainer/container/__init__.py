"""What the image of training runs on each host of a SageMaker job."""
