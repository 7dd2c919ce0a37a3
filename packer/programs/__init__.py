"""The programs that spark-submit and AWS Glue start; `packer.submitting` uploads them."""
