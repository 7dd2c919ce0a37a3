"""Starts the jobs of files that `shardpack sagemaker --sdk` wrote, with the SDK of the interpreter that runs this.

    SDK_PYTHON tests/tools/render_sdk.py job.py ...      prints each request as a line of JSON

Nothing is asked of AWS: a server in this process takes the requests, which are printed as they came over the wire.
The SDK's telemetry is switched off.
"""

import functools
import json
import os
import runpy
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_CONFIG = """SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""
_ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/first"
_DESCRIPTION = {
    "TrainingJobName": "first",
    "TrainingJobArn": _ARN,
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model.tar.gz"},
}
_requests: list[dict] = []


class _Service(BaseHTTPRequestHandler):
    """Answers CreateTrainingJob and DescribeTrainingJob, and keeps what the former was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if operation == "CreateTrainingJob":
            _requests.append(json.loads(body))
        answer = {"CreateTrainingJob": {"TrainingJobArn": _ARN}, "DescribeTrainingJob": _DESCRIPTION}.get(operation)
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer or {}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main(paths: list[str]) -> None:
    """Print what the SDK sends for each file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAGEMAKER_VALIDATE_ROLE": "false",  # version 3 asks IAM
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_CONFIG)
        os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = os.environ["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"] = str(config)
        for path in paths:
            _start(runpy.run_path(path))
    server.shutdown()
    print()
    for request in _requests:
        print(json.dumps(request))


@functools.cache
def _session(version: int) -> Any:
    if version == 2:
        from sagemaker import Session
    else:
        from sagemaker.core.helper.session_helper import Session
    return Session(default_bucket="bucket")


def _start(made: dict) -> None:
    """Start the job of one file, whichever version it is for."""
    if "make_trainer" in made:
        made["make_trainer"](sagemaker_session=_session(3)).train(made["make_channels"](), wait=False)
    else:
        made["make_estimator"](sagemaker_session=_session(2)).fit(made["make_inputs"](), wait=False)


if __name__ == "__main__":
    main(sys.argv[1:])
