"""The stack: sound by cfn-lint, rights that are named one by one, and those that the code needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

cfnlint = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")
from cfnlint.decode import decode_str  # noqa: E402

from packer.submitting.job_files import StagedJob  # noqa: E402
from packer.submitting.services import TARGETS  # noqa: E402
from packer.submitting.submit_options import SubmitOptions, SubmitTarget  # noqa: E402
from packer.submitting.target import SentJob  # noqa: E402

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "jobs/cloudformation/shardpack.yaml").read_text()
ANY_RESOURCE = {
    *("logs:DescribeLogGroups", "cloudwatch:PutMetricData"),
    *("elasticmapreduce:RunJobFlow", "elasticmapreduce:AddTags"),
}
"""Rights that AWS gives on all resources or not at all, or that a condition bounds."""
PREFIXES = {"emr": "elasticmapreduce", "emr-serverless": "emr-serverless", "glue": "glue"}
STACK: dict[str, Any] = decode_str(TEXT)[0]


def statements(name: str = "") -> Iterator[Mapping[str, Any]]:
    """Yield the statements of all policies of a resource, or of all, without those that trust a service."""
    for key, resource in STACK["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [properties.get("PolicyDocument"), *(p["PolicyDocument"] for p in properties.get("Policies", []))]
        for document in documents if name in ("", key) else []:
            for statement in document["Statement"] if document else []:
                yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement: Mapping[str, Any]) -> list[str]:
    given = statement["Action"]
    return [given] if isinstance(given, str) else list(given)


def faults_in(text: str) -> list[str]:
    """Return the errors and warnings of cfn-lint, without what it would merely like."""
    return [str(match) for match in cfnlint.lint_all(text) if match.rule.id[0] in "EW"]


@pytest.mark.slow
def test_the_template_is_sound_and_a_fault_in_it_would_be_found() -> None:
    assert faults_in(TEXT) == []
    assert faults_in(TEXT.replace("!Ref GlueWorkers\n", "!Ref GlueWorker\n"))
    assert faults_in(TEXT.replace("AutoStopConfiguration", "AutostopConfiguration"))


def test_no_right_is_given_by_a_wildcard() -> None:
    found = list(statements())
    assert len(found) > 15
    for statement in found:
        assert not [action for action in actions(statement) if "*" in action]
        if statement["Resource"] == "*":
            assert set(actions(statement)) <= ANY_RESOURCE


def test_roles_trust_one_service_each_on_behalf_of_this_account() -> None:
    roles = {key: r["Properties"] for key, r in STACK["Resources"].items() if r["Type"] == "AWS::IAM::Role"}
    assert len(roles) == 4
    for name, role in roles.items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert isinstance(trust["Principal"]["Service"], str)
        assert name == "NodeRole" or "aws:SourceAccount" in trust["Condition"]["StringEquals"]


def test_packing_has_the_rights_that_the_page_on_buckets_names() -> None:
    (line,) = re.findall("^Permissions: .*", (ROOT / "packer/docs/buckets.md").read_text(), re.M)
    needed = set(re.findall(r"`((?:s3|kms):\w+)`", line))
    assert len(needed) >= 6
    given = {action for statement in statements("PackPolicy") for action in actions(statement)}
    assert needed <= given
    assert {action for action in given - needed if not action.startswith("logs:")} == {
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
    }


@pytest.mark.parametrize("name", [SubmitTarget.EMR, SubmitTarget.EMR_SERVERLESS, SubmitTarget.GLUE])
def test_who_submits_may_send_all_that_submit_sends(name: SubmitTarget) -> None:
    target, sent = TARGETS[name], []
    own: dict[str, Any] = (
        {"glue_job": "stack"} if name is SubmitTarget.GLUE else {"role": "r", "application": "a", "staging": "s3://b"}
    )
    staged = StagedJob(program="s3://b/p.py", config="s3://b/c.json", package="s3://b/e.tar.gz", digest="d")
    sent += [request.operation for request in target.build(SubmitOptions(target=name, **own), staged)]

    def send(operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        sent.append(operation)
        state = {"Status": {"State": "RUNNING"}}
        run = {"state": "RUNNING", "JobRunState": "RUNNING"}
        return {"Cluster": state, "Steps": [state], "jobRun": run, "JobRun": run}

    target.look(send, SentJob(job_id="j", parent_id="p"))
    target.stop(send, SentJob(job_id="j", parent_id="p"))
    given = {action for statement in statements("SubmitPolicy") for action in actions(statement)}
    assert len(sent) >= 3
    assert {f"{PREFIXES[target.service]}:{operation}" for operation in sent} <= given
    assert "iam:PassRole" in given
