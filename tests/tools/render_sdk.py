"""Renders the job of a file that `shardpack sagemaker --sdk` wrote, with the SDK of the interpreter that runs this.

    SDK_PYTHON tests/tools/render_sdk.py job.py      prints the request as JSON, without the job's name

Nothing is asked of AWS: the session only records what it would send. The SDK's telemetry is switched off.
"""

import json
import os
import runpy
import sys
import tempfile
from pathlib import Path

_CONFIG = """SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


def main(path: str) -> None:
    """Print what the SDK makes of the file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_CONFIG)
        os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = os.environ["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"] = str(config)
        import boto3
        from sagemaker.workflow.pipeline_context import PipelineSession
        from sagemaker.workflow.steps import TrainingStep

        session = PipelineSession(boto3.Session(region_name="us-east-1"), default_bucket="bucket")
        made = runpy.run_path(path)
        arguments = made["make_estimator"](sagemaker_session=session).fit(made["make_inputs"]())
        request = TrainingStep("Train", step_args=arguments).to_request()["Arguments"]
    print("\n" + json.dumps(request))


if __name__ == "__main__":
    main(sys.argv[1])
