"""With exactly the rights of a policy every command works, with one fewer it fails: on a server that enforces them."""

import copy
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from packer.errors import OptionsError
from packer.sagemaker.job_options import PolicyKind
from packer.sagemaker.policies import PolicyPlaces, build_policy
from packer.stores.s3client import disconnect
from tests.cli.commands import shardpack
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.stores.conftest import Bucket
from tests.tools.datasets import write_images

EVERYTHING = PolicyPlaces(
    dest="s3://sets/birds", sources=("s3://photos/2026/", "s3a://lists/all.csv"), output="s3://jobs/out/",
    checkpoint="s3://jobs/ck", images=(IMAGE,), role=ROLE, kms_key="alias/birds", has_tags=True, has_network=True,
    model_package_group="birds",
)  # fmt: skip


# --- the documents ------------------------------------------------------------------------------------------------


def statements(kind: str, places: PolicyPlaces = EVERYTHING) -> dict[str, dict]:
    found = build_policy(PolicyKind(kind), places)["Statement"]
    assert len({statement["Sid"] for statement in found}) == len(found)
    return {statement["Sid"]: statement for statement in found}


def test_rights_to_pack() -> None:
    found = statements("pack")
    assert found["ReadSourceAndDest"]["Resource"] == [
        "arn:aws:s3:::photos/2026", "arn:aws:s3:::photos/2026/*", "arn:aws:s3:::lists/all.csv",
        "arn:aws:s3:::lists/all.csv/*", "arn:aws:s3:::sets/birds/*",
    ]  # fmt: skip
    assert found["WriteDest"]["Resource"] == ["arn:aws:s3:::sets/birds/*"]
    assert found["WriteDest"]["Action"] == ["s3:DeleteObject", "s3:PutObject", "s3:PutObjectTagging"]
    assert found["List"]["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["2026", "2026/*"]}}
    assert found["UseTheKey"]["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/birds"}}
    assert found["PullImages"]["Resource"] == ["arn:aws:ecr:us-east-1:123456789012:repository/train"]
    bare = PolicyPlaces(dest="s3://sets", sources=("s3://photos",))
    assert set(statements("pack", bare)) == {"List", "List1", "ReadSourceAndDest", "WriteDest"}
    assert statements("pack", bare)["WriteDest"]["Resource"] == ["arn:aws:s3:::sets/*"]


def test_rights_to_train() -> None:
    found = statements("train")
    assert found["ReadDataSetAndCheckpoints"]["Resource"] == ["arn:aws:s3:::sets/birds/*", "arn:aws:s3:::jobs/ck/*"]
    assert found["WriteOutputAndCheckpoints"]["Resource"] == ["arn:aws:s3:::jobs/out/*", "arn:aws:s3:::jobs/ck/*"]
    assert found["List1"]["Condition"]["StringLikeIfExists"]["s3:prefix"] == ["out", "out/*", "ck", "ck/*"]
    assert "kms:CreateGrant" in found["UseTheKey"]["Action"]


def test_rights_to_run_a_pipeline() -> None:
    found = statements("pipeline")
    assert found["PassTheRoleOfJobs"]["Resource"] == [ROLE]
    assert found["PassTheRoleOfJobs"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    assert found["TrainingJobs"]["Resource"] == ["arn:aws:sagemaker:*:123456789012:training-job/*"]
    assert found["RegisterModels"]["Resource"][1] == "arn:aws:sagemaker:*:123456789012:model-package/birds/*"


@pytest.mark.parametrize(("key", "resource"), [
    ("arn:aws:kms:us-east-1:123456789012:key/1-2", "arn:aws:kms:us-east-1:123456789012:key/1-2"),
    ("1-2", "arn:aws-cn:kms:*:123456789012:key/1-2"),
])  # fmt: skip
def test_keys_and_partitions(key: str, resource: str) -> None:
    places = PolicyPlaces(dest="s3://d/s", output="s3://o", kms_key=key, role=ROLE.replace("aws", "aws-cn"))
    assert statements("train", places)["UseTheKey"]["Resource"] == [resource]


@pytest.mark.parametrize(
    ("kind", "places", "said"),
    [
        ("pack", PolicyPlaces(dest="s3://d"), "`pack_source`: expected what is packed, s3://..., got none"),
        ("pack", PolicyPlaces(dest="d", sources=("s3://s",)), "`dest`: expected s3://bucket/prefix, got d"),
        ("train", PolicyPlaces(dest="s3://d"), "`output`: expected where the job leaves its model"),
        ("pipeline", PolicyPlaces(dest="s3://d"), "`role`: expected the ARN of the role that jobs run by"),
    ],
)
def test_what_a_policy_needs(kind: str, places: PolicyPlaces, said: str) -> None:
    with pytest.raises(OptionsError) as caught:
        build_policy(PolicyKind(kind), places)
    assert str(caught.value).startswith(said)


# --- on a server that enforces them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class LimitedUser:
    """Somebody who has no rights in buckets but those of a policy."""

    name: str
    iam: Any
    monkeypatch: pytest.MonkeyPatch

    def may(self, policy: dict) -> None:
        """Be this user from now on, with the rights of a policy for buckets."""
        of_buckets = [s for s in policy["Statement"] if all(action.startswith("s3:") for action in s["Action"])]
        document = json.dumps({**policy, "Statement": of_buckets})
        self.iam.put_user_policy(UserName=self.name, PolicyName="rights", PolicyDocument=document)
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.name)
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.name)
        disconnect()

    def client(self, endpoint: str) -> Any:
        keys = {"aws_access_key_id": self.name, "aws_secret_access_key": self.name}
        return boto3.client("s3", endpoint_url=endpoint, **keys)

    def check_it_may_not_read(self, bucket: Bucket, key: str) -> None:
        """Look that an object and a listing outside of the policy's places are refused."""
        bucket.put(key, b"secret")
        client = self.client(bucket.endpoint)
        for step in (client.get_object, client.put_object, client.delete_object):
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                step(Bucket=bucket.name, Key=key)
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.list_objects_v2(Bucket=bucket.name, Prefix=key.rpartition("/")[0] + "/")


@pytest.fixture
def limited_user(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LimitedUser]:
    admin = os.environ.get("SHARDPACK_S3_ADMIN", "").split()
    if not admin:
        pytest.skip("SHARDPACK_S3_ADMIN names no command that makes users of the S3 server (radosgw-admin -c FILE)")
    name = f"user-{uuid.uuid4().hex[:12]}"

    def run(*arguments: str) -> dict:
        done = subprocess.run([*admin, *arguments], capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout or "{}")

    keys = ("--access-key", name, "--secret-key", name)
    run("user", "create", "--uid", name, "--display-name", name, *keys)
    owner = run("user", "info", "--access-key", os.environ["AWS_ACCESS_KEY_ID"])["user_id"]
    run("caps", "add", "--uid", owner, "--caps", "user-policy=*")
    yield LimitedUser(name, boto3.client("iam", endpoint_url=s3_endpoint), monkeypatch)
    disconnect()
    run("user", "rm", "--uid", name)


def without(policy: dict, action: str) -> dict:
    policy = copy.deepcopy(policy)
    for statement in policy["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != action]
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
    return policy


def actions_of(policy: dict) -> list[str]:
    return sorted({a for s in policy["Statement"] for a in s["Action"] if a.startswith("s3:")})


def upload_images(bucket: Bucket, folder: Path) -> None:
    for path in folder.rglob("*.*"):
        bucket.put(f"photos/{path.relative_to(folder)}", path.read_bytes())


@pytest.mark.may_skip
@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_packing_with_just_these_rights(bucket: Bucket, limited_user: LimitedUser, tmp_path: Path, capfd) -> None:
    upload_images(bucket, write_images(tmp_path / "images", 12))
    source, reach = f"s3://{bucket.name}/photos", ("--endpoint-url", bucket.endpoint)

    def policy_of(dest: str) -> dict:
        code, out, _ = shardpack(capfd, "sagemaker", dest, "--policy", "pack", "--pack-source", source, "--tags", "a=b",
                                 *reach)  # fmt: skip
        assert code == 0
        return json.loads(out)

    def first_failure(dest: str) -> str:
        """Pack, pack over it, and verify; return what fails first."""
        pack = ("pack", source, dest, "--gpus", "2", "--allow-fill", "--workers", "1", "--tags", "a=b", *reach)
        commands = {"pack": pack, "overwrite": (*pack, "--overwrite"), "verify": ("verify", dest, *reach)}
        return next((name for name, command in commands.items() if shardpack(capfd, *command)[0] != 0), "")

    dest = f"s3://{bucket.name}/sets/whole"
    policy = policy_of(dest)
    limited_user.may(policy)
    assert first_failure(dest) == ""
    limited_user.check_it_may_not_read(bucket, "sets/other/x")
    expected = {"DeleteObject": "overwrite", "GetObject": "pack", "ListBucket": "pack", "PutObject": "pack"}
    # This server writes tags of those who may put objects; AWS asks for a right of its own.
    assert actions_of(policy) == [f"s3:{name}" for name in (*expected, "PutObjectTagging")]
    for index, (action, command) in enumerate(expected.items()):
        dest = f"s3://{bucket.name}/sets/{index}"
        limited_user.may(without(policy_of(dest), f"s3:{action}"))
        assert first_failure(dest) == command, action


@pytest.mark.may_skip
@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_training_with_just_these_rights(bucket: Bucket, limited_user: LimitedUser, tmp_path: Path, capfd) -> None:
    upload_images(bucket, write_images(tmp_path / "images", 12))
    source, dest = f"s3://{bucket.name}/photos", f"s3://{bucket.name}/set"
    reach = ("--endpoint-url", bucket.endpoint)
    pack = ("pack", source, dest, "--gpus", "2", "--allow-fill", "--workers", "1", *reach)
    assert shardpack(capfd, *pack)[0] == 0
    places = ("--output", f"s3://{bucket.name}/out", "--checkpoint", f"s3://{bucket.name}/ck")
    code, out, _ = shardpack(capfd, "sagemaker", dest, "--policy", "train", *places)
    policy = json.loads(out)
    assert (code, actions_of(policy)) == (0, ["s3:GetObject", "s3:ListBucket", "s3:PutObject"])

    def failures() -> list[str]:
        """Read the data set as a job and its trainer do, and copy checkpoints and output as SageMaker does."""
        client = limited_user.client(bucket.endpoint)
        steps: dict[str, Callable[[], object]] = {
            "checkpoint": lambda: client.put_object(Bucket=bucket.name, Key="ck/1", Body=b"1"),
            "output": lambda: client.put_object(Bucket=bucket.name, Key="out/job/model.tar.gz", Body=b"1"),
            "back": lambda: client.get_object(Bucket=bucket.name, Key="ck/0"),  # who put one may read it
            "list": lambda: client.list_objects_v2(Bucket=bucket.name, Prefix="ck/"),
        }
        failed = []
        for name, step in steps.items():
            try:
                step()
            except client.exceptions.ClientError:
                failed.append(name)
        channels = ("sagemaker", dest, "--instances", "1", "--gpus-per-instance", "2", "--mode", "File")
        for command in (("verify", dest), ("show", dest, "0", "-o", tmp_path / "0.jpg"), channels):
            if shardpack(capfd, *command, *reach)[0] != 0:
                failed.append(command[0])
        return failed

    bucket.put("ck/0", b"0")
    limited_user.may(policy)
    assert failures() == []
    limited_user.check_it_may_not_read(bucket, "photos-2/x")
    expected = {
        "s3:GetObject": ["back", "verify", "show", "sagemaker"],
        "s3:ListBucket": ["list", "verify"],
        "s3:PutObject": ["checkpoint", "output"],
    }
    for action, names in expected.items():
        limited_user.may(without(policy, action))
        assert failures() == names, action
