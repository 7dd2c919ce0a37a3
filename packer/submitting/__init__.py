"""Jobs sent to AWS: packing on EMR and Glue, training on SageMaker. Begin with `submit_run`."""
