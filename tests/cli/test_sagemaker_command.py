"""`shardpack sagemaker` from outside: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from packer.channels.key_lists import build_key_lists, parse_key_list
from packer.dataset.manifest import encode_manifest
from packer.sagemaker.rules import training_job_faults
from tests.cli.commands import shardpack
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.stores.conftest import Bucket
from tests.tools.datasets import pack_small, write_images
from tests.tools.manifests import make_manifest

JOB = ("--image", IMAGE, "--role", ROLE, "--output", "s3://bucket/out", "--instance-type", "ml.g5.12xlarge")
KEY = ("--sse", "aws:kms", "--kms-key", "k")
SHAPE = ("--instances", "2", "--gpus-per-instance", "2")
PIPE, FILE, FAST = (("--mode", mode) for mode in ("Pipe", "File", "FastFile"))
FILE_SYSTEM = ("--mode", "FileSystem", "--file-system-id", "fs-0123456789abcdef0", "--directory-path", "/set")


def put_dataset(bucket: Bucket, num_shards: dict[str, int], prefix: str = "set") -> str:
    """Put what the command reads of a data set, its manifest, into a bucket; return the data set's URI."""
    bucket.put(f"{prefix}/manifest.json", encode_manifest(make_manifest(num_shards)))
    return f"s3://{bucket.name}/{prefix}"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/manifest.json").write_bytes(encode_manifest(make_manifest({"train": 8, "val": 4})))
    return tmp_path / "set"


def names_and_uris(channels: list[dict]) -> dict[str, str]:
    return {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in channels}


# --- what is done -------------------------------------------------------------------------------------------------


def test_channels_in_every_mode_of_s3(bucket: Bucket, capfd) -> None:
    dest, reach = put_dataset(bucket, {"train": 8, "val": 4}), ("--endpoint-url", bucket.endpoint)
    meta = f"{dest}/manifest.json"
    code, out, errors = shardpack(capfd, "sagemaker", dest, *SHAPE, *FAST, *reach)
    assert (code, errors) == (0, "")
    assert names_and_uris(json.loads(out)) == {"train": f"{dest}/train/", "val": f"{dest}/val/", "meta": meta}

    for mode, names in (("Pipe", ["train0", "train1", "val0", "val1"]), ("File", ["train", "val"])):
        command = ("sagemaker", dest, *SHAPE, "--mode", mode, *reach)
        if mode == "Pipe":
            code, out, errors = shardpack(capfd, *command)
            assert (code, out) == (2, "")
            assert f"{dest}/meta/sagemaker/L2/train0.manifest: expected the list of a channel's shards" in errors
            assert "found nothing; add --upload to write it" in errors
            code, _, errors = shardpack(capfd, *command, "--upload")
            assert code == 0
            assert errors.count("wrote ") == 6
        code, out, errors = shardpack(capfd, *command, "--upload", "--json")
        assert (code, errors) == (0, "")
        result = json.loads(out)
        assert (result["dest"], result["uploaded"], result["files"]) == (dest, [], [])
        assert names_and_uris(result["InputDataConfig"]) == {
            **{name: f"{dest}/meta/sagemaker/L2/{name}.manifest" for name in names}, "meta": meta,
        }  # fmt: skip
    for rank, expected in (("", range(8)), (0, range(0, 8, 2)), (1, range(1, 8, 2))):
        key = f"set/meta/sagemaker/L2/train{rank}.manifest"
        listed = parse_key_list(bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read(), name=key)
        assert listed == tuple(f"{dest}/train/train-{index:05d}-of-00008.tfrecord" for index in expected)


def test_lists_of_another_place_are_refused_and_written_anew(bucket: Bucket, capfd) -> None:
    dest = put_dataset(bucket, {"train": 4})
    command = ("sagemaker", dest, *SHAPE, *FILE, "--endpoint-url", bucket.endpoint)
    assert shardpack(capfd, *command, "--upload")[0] == 0
    bucket.put("set/meta/sagemaker/L2/train.manifest", b'[{"prefix": "s3://other/set/train/"}, "x"]')
    code, _, errors = shardpack(capfd, *command)
    assert code == 2
    assert f"expected a list of the shards below {dest}, found another, as after a copy from elsewhere" in errors
    code, _, errors = shardpack(capfd, *command, "--upload")
    assert (code, errors) == (0, f"wrote {dest}/meta/sagemaker/L2/train.manifest\n")
    assert shardpack(capfd, *command)[0] == 0


def test_a_file_system(local: Path, capfd) -> None:
    code, out, _ = shardpack(capfd, "sagemaker", local, *SHAPE, *FILE_SYSTEM)
    assert code == 0
    sources = {c["ChannelName"]: c["DataSource"]["FileSystemDataSource"] for c in json.loads(out)}
    assert {name: source["DirectoryPath"] for name, source in sources.items()} == {
        "train": "/set/train", "val": "/set/val", "meta": "/set",
    }  # fmt: skip


def test_a_job_and_its_source(local: Path, tmp_path: Path, capfd) -> None:
    job, source = tmp_path / "job.json", tmp_path / "job.py"
    network = ("--subnets", "subnet-1,subnet-2", "--security-groups", "sg-1", *KEY)
    spot = ("--spot", "--checkpoint", "s3://bucket/ck", "--hyperparameter", "epochs=3", "--hyperparameter", "model=a=b")
    code, _, errors = shardpack(
        capfd, "sagemaker", local, *SHAPE, *FILE_SYSTEM, *JOB, *network, *spot, "--job", job, "--sdk", source
    )
    assert (code, errors) == (0, f"wrote {job}\nwrote {source}\n")
    request = json.loads(job.read_bytes())
    assert training_job_faults(request) == []
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400, "MaxWaitTimeInSeconds": 172_800}
    assert request["HyperParameters"]["model"] == '"a=b"'
    assert request["TrainingJobName"].startswith("shardpack-")
    assert request["OutputDataConfig"]["KmsKeyId"] == "k"
    for version, text in ((3, "ModelTrainer("), (2, "Estimator(")):
        command = ("sagemaker", local, *SHAPE, *FILE_SYSTEM, *JOB, *network, "--sdk", source, "--sdk-version", version)
        assert shardpack(capfd, *command)[0] == 0
        compile(source.read_text(), "job.py", "exec")
        assert text in source.read_text()
    code, _, errors = shardpack(capfd, *command, "--max-pending-s", 7200)
    assert (code, errors) == (
        2,
        "shardpack: --max-pending-s: expected without --sdk-version 2, which has no such argument\n",
    )


def test_settings_of_a_job(local: Path, tmp_path: Path, capfd) -> None:
    network = ("--subnets", "subnet-1", "--security-groups", "sg-1")
    settings = ("--keep-alive-s", 600, "--job-tag", "team=birds", "--job-tag", "cost=7", "--environment", "A=b=c",
                "--network-isolation", "--encrypt-traffic", "--job-retries", 3, "--max-pending-s", 7200)  # fmt: skip
    command = ("sagemaker", local, *SHAPE, *FILE_SYSTEM, *JOB, *network)
    assert shardpack(capfd, *command, *settings, "--job", tmp_path / "job.json")[0] == 0
    request = json.loads((tmp_path / "job.json").read_bytes())
    assert request["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert request["StoppingCondition"]["MaxPendingTimeInSeconds"] == 7200
    assert request["Tags"] == [{"Key": "team", "Value": "birds"}, {"Key": "cost", "Value": "7"}]
    assert request["Environment"] == {"A": "b=c"}
    assert request["EnableNetworkIsolation"] is request["EnableInterContainerTrafficEncryption"] is True
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    for arguments, said in (
        (settings, "--image: expected with --job, --sdk or --pipeline"),
        (("--job", "j", "--job-tag", "aws:x=1"), "the training job: Tags[0].Key: expected no name of AWS's own"),
        (("--job", "j", "--max-pending-s", 60), "StoppingCondition.MaxPendingTimeInSeconds: expected at least "),
        (("--job", "j", "--job-retries", 0), "RetryStrategy.MaximumRetryAttempts: expected at least 1, found 0"),
        (("--job", "j", "--environment", "1A=b"), "Environment['1A']: expected text that matches"),
        (("--job", "j", "--hyperparameter", "epochs=1", "--hyperparameter", "epochs=2"), "got 'epochs' 2 times"),
        (("--job", "j", "--pack-image", "p"), "--pack-image: expected with --pipeline, since a job has no place"),
    ):
        code, _, errors = shardpack(capfd, *command, *arguments)
        assert (code, errors.count("\n")) == (2, 1)
        assert said in errors


def test_ranks_are_started_on_the_group_that_trains_from_a_file_system(local: Path, tmp_path: Path, capfd) -> None:
    groups = ("--instance-group", "gpu=ml.p4d.24xlarge:2", "--instance-group", "cpu=ml.c5.9xlarge:1")
    network = ("--subnets", "subnet-1", "--security-groups", "sg-1")
    command = ("--gpus-per-instance", "2", *FILE_SYSTEM, *groups, *JOB[:-2], *network, "--train-group", "gpu")
    assert shardpack(capfd, "sagemaker", local, *command, "--job", tmp_path / "job.json")[0] == 0
    request = json.loads((tmp_path / "job.json").read_bytes())
    assert request["HyperParameters"]["sagemaker_distribution_instance_groups"] == '["gpu"]'


def test_a_cluster_of_two_kinds(bucket: Bucket, tmp_path: Path, capfd) -> None:
    dest, job = put_dataset(bucket, {"train": 4}), tmp_path / "job.json"
    groups = ("--instance-group", "gpu=ml.p4d.24xlarge:2", "--instance-group", "cpu=ml.c5.9xlarge:1")
    command = ("sagemaker", dest, "--gpus-per-instance", "2", "--mode", "FastFile", *groups, *JOB[:-2], "--job", job,
               "--endpoint-url", bucket.endpoint)  # fmt: skip
    assert shardpack(capfd, *command, "--train-group", "gpu")[0] == 0
    request = json.loads(job.read_bytes())
    assert [group["InstanceCount"] for group in request["ResourceConfig"]["InstanceGroups"]] == [2, 1]
    sources = [channel["DataSource"]["S3DataSource"] for channel in request["InputDataConfig"]]
    assert [source["InstanceGroupNames"] for source in sources] == [["gpu"], ["gpu"]]
    for arguments, said in (
        ((), "--train-group: expected the group that trains, one of gpu, cpu, got none"),
        (("--train-group", "tpu"), "--train-group: expected one of gpu, cpu, got tpu"),
        (("--train-group", "gpu", "--data-group", "tpu"), "--data-group: expected one of gpu, cpu, got tpu"),
        (("--train-group", "gpu", "--data-group", "gpu"), "--data-group: expected another group than that of --train"),
        (
            ("--train-group", "gpu", "--instance-group", "gpu=ml.g5.xlarge:1"),
            "expected names that differ, got gpu",
        ),
        (
            ("--train-group", "gpu", "--data-group", "cpu", "--mode", "Pipe"),
            "--mode: expected FastFile, File or File",
        ),
        (("--train-group", "gpu", "--instances", "3"), "--instances: expected 2 as in --train-group, got 3"),
        (("--train-group", "gpu", "--instance-group", "x=y"), "--instance-group: expected NAME=TYPE:COUNT such as"),
        (("--train-group", "gpu", "--instance-type", "ml.g5.xlarge"), "--instance-type: expected either it or"),
    ):
        code, _, errors = shardpack(capfd, *command, *arguments)
        assert code == 2
        assert said in errors


@pytest.mark.slow
def test_a_pipeline_packs_as_the_data_set_was_packed(bucket: Bucket, tmp_path: Path, capfd) -> None:
    images = write_images(tmp_path / "images", 24)
    for path in images.rglob("*.*"):
        bucket.put(f"photos/{path.relative_to(images)}", path.read_bytes())
    source, dest, copy = (f"s3://{bucket.name}/{name}" for name in ("photos", "set", "copy"))
    reach, pipeline = ("--endpoint-url", bucket.endpoint), tmp_path / "pipeline.json"
    packing = ("--split", "train=0.75,val=0.25", "--resize", "24", "--allow-fill", "--seed", "5", "--workers", "1")
    assert shardpack(capfd, "pack", source, dest, "--gpus", "4", *packing, *reach)[0] == 0
    command = ("--gpus-per-instance", "2", "--instances", "2", "--mode", "Pipe", "--pipeline", pipeline, *JOB,
               "--checkpoint", "s3://bucket/ck", "--pack-image", "pack:1", "--upload", *reach)  # fmt: skip
    code, _, errors = shardpack(capfd, "sagemaker", dest, *command)
    assert code == 0, errors
    steps = json.loads(pipeline.read_bytes())["Steps"]
    arguments = steps[0]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[:2] + arguments[3:] == [
        "pack", source, "--instances", "2", "--gpus-per-instance", "2", "--split", "train=0.75,val=0.25", "--seed", "5",
        "--resize", "24", "--allow-fill", "--resume",
    ]  # fmt: skip
    manifest = bucket.client.get_object(Bucket=bucket.name, Key="set/manifest.json")["Body"].read()
    assert arguments[2] == f"{dest}-runs/{json.loads(manifest)['plan_id'][:16]}-2x2"
    # The command of the step, run here: what it writes is what the training step reads.
    assert shardpack(capfd, *arguments, "--workers", "1", *reach)[0] == 0
    for channel in steps[1]["Arguments"]["InputDataConfig"]:
        assert channel["DataSource"]["S3DataSource"]["S3Uri"].removeprefix(f"s3://{bucket.name}/") in bucket.list_keys()

    code, _, errors = shardpack(capfd, "sagemaker", dest, *command, "--splits", "train")
    assert (code, "--pipeline: expected a data set with a split to evaluate" in errors) == (2, True)
    assert shardpack(capfd, "reshard", dest, copy, "--gpus", "4", "--allow-fill", "--workers", "1", *reach)[0] == 0
    code, _, errors = shardpack(capfd, "sagemaker", copy, *command)
    assert code == 2
    assert f"{copy} is a copy of the data set {dest}: name that one" in errors


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_a_data_set_from_this_machine_has_no_pipeline(bucket: Bucket, tmp_path: Path, capfd) -> None:
    images = write_images(tmp_path / "images", 24)
    dest = f"s3://{bucket.name}/set"
    pack_small(images, dest, split="train=0.75,val=0.25", allow_fill=True, endpoint_url=bucket.endpoint)
    code, _, errors = shardpack(
        capfd, "sagemaker", dest, *SHAPE, *FAST, "--pipeline", tmp_path / "p.json", *JOB,
        "--checkpoint", "s3://bucket/ck", "--pack-image", "pack:1", "--endpoint-url", bucket.endpoint,
    )  # fmt: skip
    assert code == 2
    assert f"was packed with SOURCE {images}" in errors
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize("mode", ["FastFile", "File"])
def test_data_hosts_see_all_shards_as_the_hosts_that_train(mode: str, bucket: Bucket, tmp_path: Path, capfd) -> None:
    dest, job = put_dataset(bucket, {"train": 4}), tmp_path / "job.json"
    groups = ("--instance-group", "gpu=ml.p4d.24xlarge:2", "--instance-group", "cpu=ml.c5.9xlarge:1")
    command = ("sagemaker", dest, "--gpus-per-instance", "2", "--mode", mode, *groups, *JOB[:-2], "--job", job,
               "--endpoint-url", bucket.endpoint, "--train-group", "gpu", "--data-group", "cpu")  # fmt: skip
    code, _, errors = shardpack(capfd, *command)
    assert code == 0, errors
    request = json.loads(job.read_bytes())
    train = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert train == {
        "S3DataType": "S3Prefix",
        "S3Uri": f"{dest}/train/",
        "S3DataDistributionType": "FullyReplicated",
        "InstanceGroupNames": ["gpu", "cpu"],
    }
    code, _, errors = shardpack(capfd, *command, "--shuffle-seed", "1")
    assert code == 2
    assert "--shuffle-seed: expected " in errors


def test_check(tmp_path: Path, local: Path, capfd) -> None:
    job, channels = tmp_path / "job.json", tmp_path / "channels.json"
    network = ("--subnets", "subnet-1", "--security-groups", "sg-1")
    wanted = (*JOB[:-1], "ml.c5.9xlarge", *network, "--job", job)
    assert shardpack(capfd, "sagemaker", local, *SHAPE, *FILE_SYSTEM, *wanted)[0] == 0
    request = json.loads(job.read_bytes())
    channels.write_text(json.dumps(request["InputDataConfig"]))
    for path in (job, channels):
        code, out, errors = shardpack(capfd, "sagemaker", "--check", path)
        assert (code, out, errors) == (0, f"{path}: nothing is known to be wrong with it\n", "")
    request["InputDataConfig"][0]["InputMode"] = "Stream"
    job.write_text(json.dumps(request))
    code, out, _ = shardpack(capfd, "sagemaker", "--check", job)
    assert code == 1
    assert "FAULT InputDataConfig[0].InputMode: expected one of Pipe, File, FastFile, found 'Stream'" in out
    code, out, _ = shardpack(capfd, "sagemaker", "--check", job, "--json")
    assert code == 1
    result = json.loads(out.splitlines()[-1])
    assert not result["ok"]
    assert len(result["faults"]) == 1
    for content in (b"", b"{", b"\xff", b"[" * 100_000):
        job.write_bytes(content)
        code, _, errors = shardpack(capfd, "sagemaker", "--check", job)
        assert code == 2
        assert f"--check: expected a JSON file, but {job} cannot be read" in errors
    assert shardpack(capfd, "sagemaker", "--check", tmp_path / "absent.json")[0] == 2


def test_a_policy(capfd) -> None:
    command = ("sagemaker", "s3://sets/birds", "--policy")
    code, out, errors = shardpack(capfd, *command, "pack", "--pack-source", "s3://photos", "--sse", "aws:kms", *KEY[2:])
    assert (code, errors) == (0, "")
    assert [statement["Sid"] for statement in json.loads(out)["Statement"]] == [
        "List", "List1", "ReadSourceAndDest", "WriteDest", "UseTheKey",
    ]  # fmt: skip
    for arguments, said in (
        (("pack",), "--pack-source: expected what is packed, s3://..., got none"),
        (("train",), "--output: expected where the job leaves its model, s3://..., got none"),
        (("pipeline",), "--role: expected the ARN of the role that jobs run by"),
        (("paint",), "--policy: expected one of pack, train, pipeline"),
    ):
        code, _, errors = shardpack(capfd, *command, *arguments)
        assert (code, errors.count("\n"), said in errors) == (2, 1, True), errors
    for flag, only in (("--pack-source", "--policy"), ("--events", "--diagnose")):
        code, _, errors = shardpack(capfd, "sagemaker", "s3://b/set", *SHAPE, *FAST, flag, "s3://photos")
        assert (code, f"{flag}: expected with {only} only" in errors) == (2, True)


LIST_SOURCE = {"S3DataType": "ManifestFile", "S3Uri": "s3://bucket/set/train.manifest"}


def channel(name: str, mode: str) -> dict:
    return {"ChannelName": name, "DataSource": {"S3DataSource": LIST_SOURCE}, "InputMode": mode}


def test_check_warns_of_what_is_doubtful(tmp_path: Path, local: Path, capfd) -> None:
    job, network = tmp_path / "job.json", ("--subnets", "subnet-1", "--security-groups", "sg-1")
    assert shardpack(capfd, "sagemaker", local, *SHAPE, *FILE_SYSTEM, *JOB, *network, "--job", job)[0] == 0
    code, out, _ = shardpack(capfd, "sagemaker", "--check", job)
    warning = (
        "HyperParameters['sagemaker_mpi_num_of_processes_per_host']: expected 4, the GPUs of ml.g5.12xlarge, found 2: "
        "some would idle"
    )
    assert (code, out) == (0, f"WARNING {warning}\n{job}: nothing is known to be wrong with it\n")
    code, out, _ = shardpack(capfd, "sagemaker", "--check", job, "--json")
    result = json.loads(out.splitlines()[-1])
    assert (code, result["ok"], result["faults"], result["warnings"]) == (0, True, [], [warning])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([channel("train", "FastFile")], "S3DataType: expected S3Prefix with InputMode FastFile, found ManifestFile"),
        (
            [channel(f"c{index}", "File") for index in range(21)],
            "InputDataConfig: expected at most 20 of them, found 21",
        ),
        ([{"prefix": "s3://"}, "one/train/x", "two/train/x"], "expected objects of one bucket, since SageMaker takes"),
        ([{"prefix": "s3://bucket/set"}, "x", "x"], "expected one or more objects, each once, got 2"),
        ([{"prefix": "s3://bucket/set/"}], "the list: expected a JSON list of"),
        ({"Version": "2020-12-01", "Steps": []}, "Steps: expected one or more, found none"),
        (5, "the request: expected an object, found 5"),
        ([], "InputDataConfig: expected at least 1 of them, found 0"),
    ],
)
def test_check_names_what_is_wrong(tmp_path: Path, capfd, document: object, said: str) -> None:
    (tmp_path / "document.json").write_text(json.dumps(document))
    code, out, errors = shardpack(capfd, "sagemaker", "--check", tmp_path / "document.json")
    assert (code, errors) == (1, "")
    assert out.startswith("FAULT ")
    assert said in out


def test_volumes_are_held_against_the_data_set(bucket: Bucket, tmp_path: Path, capfd) -> None:
    manifest = make_manifest({"train": 8, "val": 4})
    shards = tuple(structs.replace(shard, num_bytes=2**30) for shard in manifest.splits["train"].shards)
    splits = {**manifest.splits, "train": structs.replace(manifest.splits["train"], shards=shards)}
    bucket.put("set/manifest.json", encode_manifest(structs.replace(manifest, splits=splits)))
    job, reach = tmp_path / "job.json", ("--endpoint-url", bucket.endpoint)
    command = ("sagemaker", f"s3://{bucket.name}/set", *SHAPE, *FILE, *JOB[:-1], "ml.c5.9xlarge", "--upload", *reach)
    said = "ResourceConfig.VolumeSizeInGB: expected at least 5 for what channels in File mode bring to each instance"
    code, _, errors = shardpack(capfd, *command, "--job", job, "--volume-gb", 4)
    assert (code, f"the training job: {said} (train, val), found 4" in errors) == (2, True)
    assert shardpack(capfd, *command, "--job", job, "--volume-gb", 5)[0] == 0
    request = json.loads(job.read_bytes())
    request["ResourceConfig"]["VolumeSizeInGB"] = 4
    job.write_text(json.dumps(request))
    code, out, _ = shardpack(capfd, "sagemaker", f"s3://{bucket.name}/set", "--check", job, *reach)
    assert (code, out.startswith(f"WARNING {said}")) == (0, True)
    assert "WARNING" not in shardpack(capfd, "sagemaker", "--check", job)[1]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            [channel("train", "Pipe"), channel("train_0", "File")],
            "InputDataConfig[1].ChannelName: expected a name that does not end in an underscore and digits, since that",
        ),
        ([channel("train-0", "File")], "InputDataConfig[0].ChannelName: expected 1 to 64 letters, digits and under"),
    ],
)
def test_check_warns_of_what_the_house_keeps_out_of(tmp_path: Path, capfd, document: object, said: str) -> None:
    (tmp_path / "document.json").write_text(json.dumps(document))
    code, out, errors = shardpack(capfd, "sagemaker", "--check", tmp_path / "document.json")
    assert (code, errors) == (0, "")
    assert out.startswith(f"WARNING {said}")


def test_check_takes_the_lists_that_are_written(tmp_path: Path, capfd) -> None:
    for key, data in build_key_lists(make_manifest({"train": 4}), root="s3://bucket/set", local_size=2).items():
        path = tmp_path / key.rpartition("/")[2]
        path.write_bytes(data)
        assert shardpack(capfd, "sagemaker", "--check", path)[0] == 0


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
@pytest.mark.parametrize(
    ("num_shards", "arguments", "said"),
    [
        (
            {"train": 8, "val": 8, "test": 8}, ("--instances", 1, "--gpus-per-instance", 8, *PIPE),
            "channels: expected at most 20 in a job, got 25",
        ),
        (
            {"train": 8}, ("--instances", 3, "--gpus-per-instance", 2, *PIPE),
            "split 'train': expected shards that divide by 6 ranks (3 instances x 2 ranks), found 8 shards, so some "
            "ranks would run out first; use a cluster whose ranks divide 8, or make shards for this one: shardpack "
            "reshard DEST NEW --instances 3 --gpus-per-instance 2",
        ),
        (
            {"train": 8}, ("--instances", 3, "--gpus-per-instance", 1, *FILE),
            "split 'train': expected shards that divide by 3 ranks",
        ),
        (
            {"train": 8, "val": 2}, (*SHAPE, *FAST),
            "split 'val': expected at least one shard for each of 4 ranks (2 instances x 2 ranks), found 2 shards",
        ),
        ({"train-1": 4}, (*SHAPE, *FILE), "channel 'train_1': expected a name that does not end in an under"),
        ({"train": 4, "code": 4}, (*SHAPE, *FILE), "channel 'code': the name is one that SageMaker's Python"),
        (
            {"train": 24, "train1": 24}, ("--instances", 1, "--gpus-per-instance", 12, *PIPE),
            "channel 'train10': expected names that differ in more than case, since each becomes an environment",
        ),
        (
            {"train": 4, "train1": 4}, (*SHAPE, *FILE, "--upload"),
            "the list meta/sagemaker/L2/train1.manifest would be that of another split's local rank too",
        ),
        ({"train": 4}, (*SHAPE, *FAST, "--shuffle-seed", 1), "--shuffle-seed: expected --mode File or Pipe"),
        ({"train": 4}, (*SHAPE, "--mode", "Stream"), "--mode: expected one of File, FastFile, Pipe, FileSystem"),
        ({"train": 4}, SHAPE, "--mode: expected one of File, FastFile, Pipe, FileSystem, got none"),
        ({"train": 4}, ("--instances", 2, *FILE), "--gpus-per-instance: expected the instances that train"),
        ({"train": 4}, ("--gpus-per-instance", 2, *FILE), "--instances: expected the instances that train"),
        ({"train": 4}, ("--instances", 0, "--gpus-per-instance", 2, *FILE), "--instances: expected at least 1"),
        ({"train": 4}, (*SHAPE, *FILE, "--train-group", "x"), "--train-group: expected with --instance-group"),
        ({"train": 4}, (*SHAPE, *FILE, "--directory-path", "/x"), "--file-system-id: expected with --mode Fi"),
        ({"train": 4}, (*SHAPE, "--mode", "FileSystem"), "--file-system-id: expected a value with --mode FileSystem"),
        ({"train": 4}, (*SHAPE, *FAST, "--job", "j"), "--instance-type: expected either it or"),
        ({"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--role", "me"), "the training job: RoleArn"),
        ({"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--max-wait-s", 9), "--max-wait-s: expected with"),
        (
            {"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--hyperparameter", "epochs"),
            "--hyperparameter: expected K=V such as epochs=90, got 'epochs'",
        ),
        (
            {"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--hyperparameter", "epoch=3"),
            "--hyperparameter: expected an option of the trainer (python -m packer.trainer --help), got 'epoch'; did "
            "you mean epochs?",
        ),
        (
            {"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--spot"),
            "--checkpoint: expected a place for checkpoints with --spot, got none",
        ),
        ({"train": 4}, (*SHAPE, *FAST, *KEY), "--kms-key: expected with --upload or --pipeline"),
        ({"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--tags", "a=b"), "--tags: expected with --upload or"),
        ({"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--sse", "AES256"), "--sse: expected with --upload"),
        (
            {"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--storage-class", "STANDARD_IA"),
            "--storage-class: expected with --upload or --pipeline",
        ),
        (
            {"train": 4}, (*SHAPE, *FAST, "--job", "j", *JOB, "--requester-pays"),
            "--requester-pays: expected without --job and --sdk",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    bucket: Bucket,
    tmp_path: Path,
    capfd,
    monkeypatch,
    num_shards: dict,
    arguments: tuple,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    dest = put_dataset(bucket, num_shards)
    code, out, errors = shardpack(capfd, "sagemaker", dest, *arguments, "--endpoint-url", bucket.endpoint)
    assert (code, out) == (2, "")
    assert errors.startswith("shardpack: ")
    assert said in errors
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert bucket.list_keys() == ["set/manifest.json"]


def test_a_data_set_on_this_machine_in_a_mode_of_s3(local: Path, capfd) -> None:
    for mode in ("File", "FastFile", "Pipe"):
        code, _, errors = shardpack(capfd, "sagemaker", local, *SHAPE, "--mode", mode)
        assert code == 2
        assert (
            f"DEST: expected a data set in S3 with --mode {mode}, got {local}; copy it (aws s3 sync {local}" in errors
        )


def test_a_prefix_that_no_list_can_name(bucket: Bucket, capfd) -> None:
    dest = put_dataset(bucket, {"train": 4}, prefix="s#t")
    code, _, errors = shardpack(capfd, "sagemaker", dest, *SHAPE, *FILE, "--upload", "--endpoint-url", bucket.endpoint)
    assert code == 2
    assert "expected no character that AWS advises against in keys, got '#'" in errors


def test_lists_have_no_place_on_a_file_system(local: Path, capfd) -> None:
    code, _, errors = shardpack(capfd, "sagemaker", local, *SHAPE, *FILE_SYSTEM, "--upload")
    assert (code, "--upload: expected with a data set in S3" in errors) == (2, True)


def test_no_data_set_at_all(tmp_path: Path, capfd) -> None:
    code, _, errors = shardpack(capfd, "sagemaker", *SHAPE, *FILE)
    assert (code, errors) == (2, "shardpack: DEST: expected a data set, got none\n")
    code, _, errors = shardpack(capfd, "sagemaker", tmp_path, *SHAPE, *FILE_SYSTEM)
    assert code == 2
    assert "expected a finished data set, found no manifest.json" in errors
