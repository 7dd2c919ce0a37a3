"""The least rights of the roles that pack, train and run a pipeline, as IAM policy documents.

`pack` reads the images and writes the data set. `train` is the role of a training job and of the evaluation after it.
`pipeline` starts steps and passes their role on. Rights that SageMaker itself needs (logs, metrics, the image, keys,
the network) follow AWS's page on execution roles. Rights in buckets were tested on a server that enforces policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packer.errors import OptionsError
from packer.sagemaker.job_options import PolicyKind

_S3_URI = re.compile(r"s3[an]?://([^/]+)/?(.*)")
_ROLE = re.compile(r"arn:(aws[a-z\-]*):iam::(\d{12}):role/.+")
_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
_NETWORK_ACTIONS = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
    *("ec2:DeleteNetworkInterfacePermission", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)
_JOBS = {"training-job": "TrainingJob", "processing-job": "ProcessingJob"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPlaces:
    """Resources that a role needs access to; empty if not used."""

    dest: str
    """URI of the data set, ``s3://...``."""
    sources: tuple[str, ...] = ()
    """URIs of the prefixes and listings that are packed."""
    output: str = ""
    checkpoint: str = ""
    images: tuple[str, ...] = ()
    """URIs of container images."""
    role: str = ""
    """ARN of the role of the jobs; it also contains partition and account."""
    kms_key: str = ""
    has_tags: bool = False
    """Objects are written with tags."""
    has_network: bool = False
    """Jobs run in a VPC of the account."""
    model_package_group: str = ""

    @property
    def partition(self) -> str:
        """The AWS partition of `role`; ``aws`` without a role."""
        match = _ROLE.fullmatch(self.role)
        return match[1] if match else "aws"

    @property
    def account(self) -> str:
        """The account of `role`; ``*`` without a role."""
        match = _ROLE.fullmatch(self.role)
        return match[2] if match else "*"


def build_policy(kind: PolicyKind, places: PolicyPlaces) -> dict[str, Any]:
    """Return the policy document of a role.

    Raises:
        OptionsError: a needed option was not given, or is not an S3 URI.
    """
    makers = {PolicyKind.PACK: _packing, PolicyKind.TRAIN: _training, PolicyKind.PIPELINE: _running_pipelines}
    return {"Version": "2012-10-17", "Statement": list(makers[kind](places))}


def _packing(places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    if not places.sources:
        raise OptionsError("expected what is packed, s3://..., got none", field="pack_source")
    reading = {"pack_source": places.sources, "dest": (places.dest,)}
    writing = ["s3:DeleteObject", "s3:PutObject", *(["s3:PutObjectTagging"] if places.has_tags else [])]
    yield from _list_statements(reading, places)
    yield _objects("ReadSourceAndDest", ["s3:GetObject"], reading, places)
    yield _objects("WriteDest", writing, {"dest": (places.dest,)}, places)
    yield from _container_statements(places)
    yield from _key_statements(["kms:Decrypt", "kms:GenerateDataKey"], places)


def _training(places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    if not places.output:
        raise OptionsError("expected where the job leaves its model, s3://..., got none", field="output")
    kept = {"checkpoint": (places.checkpoint,)} if places.checkpoint else {}
    yield from _list_statements({"dest": (places.dest,), "output": (places.output,), **kept}, places)
    yield _objects("ReadDataSetAndCheckpoints", ["s3:GetObject"], {"dest": (places.dest,), **kept}, places)
    yield _objects("WriteOutputAndCheckpoints", ["s3:PutObject"], {"output": (places.output,), **kept}, places)
    yield from _container_statements(places)
    yield from _key_statements(["kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey"], places)


def _running_pipelines(places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    if not _ROLE.fullmatch(places.role):
        raise OptionsError(
            "expected the ARN of the role that jobs run by, arn:aws:iam::ACCOUNT:role/NAME, "
            f"got {places.role or 'none'}",
            field="role",
        )
    for kind, name in _JOBS.items():
        actions = [f"sagemaker:{verb}{name}" for verb in ("Create", "Describe", "Stop")]
        yield _statement(f"{name}s", ["sagemaker:AddTags", *actions], [_sagemaker_arn(kind, "*", places)])
    yield {
        **_statement("PassTheRoleOfJobs", ["iam:PassRole"], [places.role]),
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    if places.output:
        yield _objects("ReadMetrics", ["s3:GetObject"], {"output": (places.output,)}, places)
    if places.model_package_group:
        group = places.model_package_group
        resources = [
            _sagemaker_arn("model-package-group", group, places),
            _sagemaker_arn("model-package", f"{group}/*", places),
        ]
        actions = ["CreateModelPackage", "CreateModelPackageGroup", "DescribeModelPackage", "DescribeModelPackageGroup"]
        yield _statement("RegisterModels", [f"sagemaker:{action}" for action in actions], resources)


def _list_statements(uris: Mapping[str, Sequence[str]], places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    """Yield the right to list prefixes, one statement for each bucket.

    S3 answers a request for a missing object with "not found" only if the role may list the bucket, and such a request
    has no prefix. Hence ``IfExists``, which also allows listing without a prefix.
    """
    prefixes: dict[str, list[str]] = {}
    for field, each in uris.items():
        for uri in each:
            bucket, key = _split(uri, field)
            prefixes.setdefault(bucket, []).extend([key, f"{key}/*"] if key else ["*"])
    for index, (bucket, keys) in enumerate(prefixes.items()):
        yield {
            **_statement(f"List{index or ''}", ["s3:ListBucket"], [f"arn:{places.partition}:s3:::{bucket}"]),
            "Condition": {"StringLikeIfExists": {"s3:prefix": list(dict.fromkeys(keys))}},
        }


def _objects(
    sid: str, actions: Sequence[str], uris: Mapping[str, Sequence[str]], places: PolicyPlaces
) -> dict[str, Any]:
    """Return a right to the objects below some URIs; a source may also be a single object."""
    resources = []
    for field, each in uris.items():
        for uri in each:
            bucket, key = _split(uri, field)
            base = f"arn:{places.partition}:s3:::{bucket}/{key}"
            if field == "pack_source" and key:
                resources.append(base)
            resources.append(f"{base}/*" if key else f"{base}*")
    return _statement(sid, actions, resources)


def _container_statements(places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    """Yield the rights that SageMaker needs through a job's role: for images, logs, metrics and the network."""
    repositories = [match for match in map(_REGISTRY.match, places.images) if match]
    if repositories:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        arns = [f"arn:{places.partition}:ecr:{region}:{account}:repository/{name}"
                for account, region, name in (match.groups() for match in repositories)]  # fmt: skip
        yield _statement("PullImages", pull, arns)
        yield _statement("SignInForImages", ["ecr:GetAuthorizationToken"], ["*"])
    if places.images:
        logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        yield _statement(
            "WriteLogs", logs, [f"arn:{places.partition}:logs:*:{places.account}:log-group:/aws/sagemaker/*"]
        )
        yield {
            **_statement("WriteMetrics", ["cloudwatch:PutMetricData"], ["*"]),
            "Condition": {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        }
    if places.has_network:
        yield _statement("UseTheNetwork", _NETWORK_ACTIONS, ["*"])


def _key_statements(actions: Sequence[str], places: PolicyPlaces) -> Iterator[dict[str, Any]]:
    key = places.kms_key
    if not key:
        return
    if key.startswith("arn:") and ":alias/" not in key:
        yield _statement("UseTheKey", actions, [key])
    elif "alias/" in key:
        name = key[key.index("alias/") :]
        yield {
            **_statement("UseTheKey", actions, [f"arn:{places.partition}:kms:*:{places.account}:key/*"]),
            "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": name}},
        }
    else:
        yield _statement("UseTheKey", actions, [f"arn:{places.partition}:kms:*:{places.account}:key/{key}"])


def _statement(sid: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": list(dict.fromkeys(resources))}


def _sagemaker_arn(kind: str, name: str, places: PolicyPlaces) -> str:
    return f"arn:{places.partition}:sagemaker:*:{places.account}:{kind}/{name}"


def _split(uri: str, field: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI. Raises OptionsError, which names `field`."""
    match = _S3_URI.fullmatch(uri)
    if match is None:
        raise OptionsError(f"expected s3://bucket/prefix, got {uri or 'none'}", field=field)
    return match[1], match[2].rstrip("/")
