"""Fixtures that more than one part uses, and the rule that a skip fails the run where nothing may be skipped.

Environment, all optional:
    SHARDPACK_SAMPLE             a folder of photographs
    SHARDPACK_S3                 endpoint of an S3 server; keys and region come from the AWS variables
    SHARDPACK_PIPEMODE_PYTHON    a Python 3.10 with SageMaker's PipeModeDataset; otherwise .venv-pipemode's
    SHARDPACK_NO_SKIPS           1: a skipped test is a failed one, unless marked ``may_skip``
    CI                           set: property tests draw the same examples each time
"""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Generator
from pathlib import Path

import hypothesis
import photographs
import pytest
from buckets import remove_bucket

S3_FIXTURES = {"endpoint", "moto_endpoint", "s3_endpoint"}
WHEELS = Path(__file__).parent.parent / "build" / "photographs"

# No deadline: two cores shared by several processes make single examples slow now and then.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def sample_dir() -> Path:
    """The folder of photographs that SHARDPACK_SAMPLE names."""
    folder = os.environ.get("SHARDPACK_SAMPLE")
    if not folder:
        pytest.skip("SHARDPACK_SAMPLE names no folder of photographs")
    path = Path(folder)
    assert path.is_dir(), f"SHARDPACK_SAMPLE: expected a folder, got {folder}"
    return path


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-per-folder set of 60 small photographs in ten classes; read it, never write to it."""
    if not any(WHEELS.glob("*.whl")):
        pytest.skip("no photographs to derive from: run `make photographs`")
    folder = tmp_path_factory.mktemp("photographs")
    photographs.write_photographs(folder, WHEELS, count=60, side_px=160)
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> str:
    """The S3 endpoint that SHARDPACK_S3 names."""
    endpoint = os.environ.get("SHARDPACK_S3")
    if not endpoint:
        pytest.skip("SHARDPACK_S3 names no S3 endpoint")
    return endpoint


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> Generator[str, None, None]:
    """Name of a new, empty bucket on the S3 server, which is removed afterwards."""
    boto3 = pytest.importorskip("boto3")
    name = f"test-{uuid.uuid4().hex}"
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=name)
    yield name
    remove_bucket(client, name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that talk to a server before pytest chooses by marks."""
    for item in items:
        if not S3_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.s3)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what stays to the end anyway: thousands of tests and the libraries' modules."""
    gc.collect()
    gc.freeze()


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure under SHARDPACK_NO_SKIPS=1; an expected failure (xfail) is no skip."""
    if os.environ.get("SHARDPACK_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: nothing may be skipped under SHARDPACK_NO_SKIPS=1, but: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("may_skip") is None:
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
