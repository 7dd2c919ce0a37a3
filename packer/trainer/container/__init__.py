"""Programs that the training image runs on each host of a SageMaker job."""
