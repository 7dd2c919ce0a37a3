"""Sends jobs to AWS: packing on EMR and Glue, training on SageMaker. Start reading with `submit_run`."""
