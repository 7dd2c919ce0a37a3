"""Which shards SageMaker hands to which instance, and in what order: a training job that only looks.

AWS documents neither how ShardedByS3Key assigns keys nor what happens between the epochs of a Pipe. shardpack works
whatever the answers are; this finds them for an account and a region. It needs Python 3.9 or later and nothing else, so
any image that has one will do, such as an AWS deep learning container: the script comes through a channel of its own.

    aws s3 cp jobs/sagemaker_probe.py s3://BUCKET/probe/sagemaker_probe.py
    shardpack sagemaker s3://BUCKET/birds --instances 2 --gpus-per-instance 2 --mode Pipe --job job.json \\
        --image IMAGE --role ROLE --output s3://BUCKET/probe/out --instance-type ml.m5.large
    python jobs/sagemaker_probe.py request job.json s3://BUCKET/probe/sagemaker_probe.py > probe.json
    aws sagemaker create-training-job --cli-input-json file://probe.json

Each host prints one line of JSON and writes it to /opt/ml/output/data, so to s3://BUCKET/probe/out/JOB/output/. Then

    python jobs/sagemaker_probe.py report probe-algo-1.json probe-algo-2.json

says what the hosts have between them. Use a small data set, with some shards for each rank. Other modes: `--mode File`
or FastFile; `--shuffle-seed N` for the order with ShuffleConfig. With `--log-level info` before `request`, the job logs
what it reads while it reads it; `--log-json` makes lines of JSON of that.

In a Pipe, shards are known by their sha256, which the data set's manifest has. Epochs 0 and 2 are read to the end, and
epoch 1 is closed after its first bytes, as a training pass may do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

EPOCHS = 3
CLOSED_EARLY = 1
"""The epoch that is closed after EARLY_BYTES."""
EARLY_BYTES = 1 << 16
LIMIT_S = 1500
"""What has been seen by then is told."""
MAX_RUN_S = 1800
PROBE_CHANNEL = "probe"
META_CHANNEL = "meta"
_RECORDIO_MAGIC = 0xCED7230A
_TFRECORD_OVERHEAD = 4 + 4 + 8

Json = dict[str, Any]
_LOGGER = logging.getLogger("shardpack.probe")
_LEVELS = ("debug", "info", "warning", "error")


def main() -> None:
    """Without arguments: look around in a training container."""
    parser = argparse.ArgumentParser(description="which shards SageMaker hands to which instance")
    parser.add_argument("--log-level", choices=_LEVELS, help="least level of log records on standard error")
    parser.add_argument("--log-json", action="store_true", help="log records as lines of JSON")
    commands = parser.add_subparsers(dest="command")
    request = commands.add_parser("request", help="turn a CreateTrainingJob request into one of this probe")
    request.add_argument("job", help="JSON file that shardpack sagemaker --job wrote")
    request.add_argument("script", help="s3://... of this file")
    report = commands.add_parser("report", help="say what hosts have between them")
    report.add_argument("files", nargs="+", help="what each host wrote")
    given = parser.parse_args()
    start_logs(given.log_level, as_json=given.log_json)
    if given.command == "request":
        logs = ["--log-level", given.log_level] * bool(given.log_level) + ["--log-json"] * given.log_json
        _say(json.dumps(build_request(json.loads(Path(given.job).read_text()), given.script, logs), indent=2))
    elif given.command == "report":
        _say("\n".join(describe([json.loads(Path(name).read_text()) for name in given.files])))
    else:
        probe(Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")), limit_s=LIMIT_S)


def start_logs(level: str | None, *, as_json: bool) -> None:
    """Show log records from a level on, on standard error; warnings by default."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel((level or "warning").upper())


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": record.created, "level": record.levelname.lower(), "process": record.process}
        return json.dumps({**fields, "logger": record.name, "message": record.getMessage()})


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def build_request(job: Json, script_uri: str, arguments: Sequence[str] = ()) -> Json:
    """Return a request that runs this script with some arguments, and the data of another request."""
    kept = ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "VpcConfig")
    source = {"S3DataType": "S3Prefix", "S3Uri": script_uri, "S3DataDistributionType": "FullyReplicated"}
    channel = {"ChannelName": PROBE_CHANNEL, "InputMode": "File", "DataSource": {"S3DataSource": source}}
    algorithm = job["AlgorithmSpecification"]
    request = {name: job[name] for name in kept if name in job}
    request["TrainingJobName"] = f"{job['TrainingJobName'][:57]}-probe"
    request["InputDataConfig"] = [*job["InputDataConfig"], channel]
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": MAX_RUN_S}
    request["AlgorithmSpecification"] = {
        "TrainingImage": algorithm["TrainingImage"],
        "TrainingInputMode": algorithm["TrainingInputMode"],
        "ContainerEntrypoint": ["python3", f"/opt/ml/input/data/{PROBE_CHANNEL}/{script_uri.rpartition('/')[2]}"],
    }
    if arguments:
        request["AlgorithmSpecification"]["ContainerArguments"] = [*arguments]
    return request


# --- in the container --------------------------------------------------------------------------------------------


def probe(base: Path, *, limit_s: float) -> None:
    """Read every channel, print one line of JSON and write it below `base`; after `limit_s` what is known so far."""
    config = base / "input" / "config"
    channels = json.loads((config / "inputdataconfig.json").read_text())
    resources = json.loads((config / "resourceconfig.json").read_text())
    shards = load_shards(base / "input" / "data" / META_CHANNEL / "manifest.json")
    found: Json = {}
    threads = []
    for name, channel in sorted(channels.items()):
        if name in (META_CHANNEL, PROBE_CHANNEL):
            continue
        found[name] = {"mode": channel["TrainingInputMode"], "distribution": channel.get("S3DistributionType")}
        look = _read_epochs if channel["TrainingInputMode"] == "Pipe" else _list_folder
        arguments = (base / "input" / "data" / name, shards, found[name])
        threads.append(threading.Thread(target=_trying, args=(look, *arguments), daemon=True))
    _run(threads, limit_s)
    result = {
        "host": resources["current_host"],
        "resources": resources,
        "input_data_config": channels,
        "in_data_folder": sorted(os.listdir(base / "input" / "data")),
        "kernel": platform.release(),
        "num_shards": _count_by_split(shards),
        "channels": found,
    }
    line = json.dumps(result, sort_keys=True)
    _say(line)
    folder = base / "output" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"probe-{resources['current_host']}.json").write_text(line + "\n")


def load_shards(manifest: Path) -> list[Json]:
    """Return key, split, num_records, num_bytes and sha256 of all shards of a data set."""
    document = json.loads(manifest.read_text())
    return [
        {"split": split, **shard} for split, entry in sorted(document["splits"].items()) for shard in entry["shards"]
    ]


def _run(threads: list[threading.Thread], limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))


def _trying(look: Any, path: Path, shards: list[Json], into: Json) -> None:
    into["finished"] = False
    try:
        look(path, shards, into)
    except Exception as error:  # the other channels are still worth a look
        into["error"] = f"{type(error).__name__}: {error}"
        _LOGGER.warning("%s: %s", path.name, into["error"])
    into["finished"] = "error" not in into


def _list_folder(folder: Path, shards: list[Json], into: Json) -> None:
    """Tell the files of a channel in the order of the listing; those that are no shards by their paths."""
    by_file = {(shard["key"].rpartition("/")[2], shard["num_bytes"]): shard["key"] for shard in shards}
    keys: list[str] = []
    others: list[str] = []
    into["epochs"] = [{"epoch": 0, "shards": keys, "others": others}]
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path) / name
            key = by_file.get((name, file.stat().st_size))
            if key is None:
                others.append(str(file.relative_to(folder)))
            else:
                keys.append(key)


def _read_epochs(path: Path, shards: list[Json], into: Json) -> None:
    into["epochs"] = []
    for epoch in range(EPOCHS):
        seen: Json = {"epoch": epoch, "fifo": f"{path.name}_{epoch}", "shards": [], "others": []}
        into["epochs"].append(seen)
        started_s = time.monotonic()
        while not os.path.exists(f"{path}_{epoch}"):
            time.sleep(0.1)
        seen["seconds_until_fifo"] = round(time.monotonic() - started_s, 2)
        _LOGGER.info("%s: there after %.2f s", seen["fifo"], seen["seconds_until_fifo"])
        with open(f"{path}_{epoch}", "rb") as stream:
            if epoch == CLOSED_EARLY:
                seen["closed_early_after_bytes"] = len(stream.read(EARLY_BYTES))
            else:
                _read_stream(stream, shards, seen)
        seen["seconds"] = round(time.monotonic() - started_s, 2)


def _read_stream(stream: BinaryIO, shards: list[Json], seen: Json) -> None:
    """Tell the shards of a stream in their order: a border is where the bytes since the last one are a shard's."""
    by_size: dict[tuple[int, int], list[Json]] = {}
    for shard in shards:
        by_size.setdefault((shard["num_records"], shard["num_bytes"]), []).append(shard)
    digest, num_records, num_bytes = hashlib.sha256(), 0, 0
    for record in iter_records(stream):
        digest.update(record)
        num_records, num_bytes = num_records + 1, num_bytes + len(record)
        key = _find_shard(by_size.get((num_records, num_bytes), []), digest)
        if key is not None:
            seen["shards"].append(key)
            digest, num_records, num_bytes = hashlib.sha256(), 0, 0
    if num_bytes:
        seen["others"].append({"num_records": num_records, "num_bytes": num_bytes, "sha256": digest.hexdigest()})


def _find_shard(candidates: list[Json], digest: Any) -> str | None:
    if not candidates:
        return None
    found = digest.hexdigest()
    return next((shard["key"] for shard in candidates if shard["sha256"] == found), None)


def iter_records(stream: BinaryIO) -> Iterator[bytes]:
    """Yield framed records of either container, unchecked; of what follows a fault, all that is left at once."""
    while True:
        header = stream.read(8)
        if not header:
            return
        if len(header) == 8 and struct.unpack("<I", header[:4])[0] == _RECORDIO_MAGIC:
            record, more = _read_recordio(stream, header)
        else:
            (length,) = struct.unpack("<Q", header.ljust(8, b"\0"))
            more = length + _TFRECORD_OVERHEAD - 8 if length < 1 << 32 else -1
            record = header + stream.read(more)
        yield record
        if more < 0:
            return


def _read_recordio(stream: BinaryIO, header: bytes) -> tuple[bytes, int]:
    """Return all parts of a record, and -1 if it has no end."""
    parts = []
    while len(header) == 8:
        lrec = struct.unpack("<I", header[4:])[0]
        length = lrec & ((1 << 29) - 1)
        parts += [header, stream.read(length + -length % 4)]
        if lrec >> 29 in (0, 3):
            return b"".join(parts), 0
        header = stream.read(8)
    return b"".join([*parts, header]), -1


def _count_by_split(shards: list[Json]) -> dict[str, int]:
    return {split: sum(shard["split"] == split for shard in shards) for split in {shard["split"] for shard in shards}}


# --- afterwards --------------------------------------------------------------------------------------------------


def describe(results: list[Json]) -> list[str]:
    """Return lines on what hosts have between them, channel by channel and epoch by epoch."""
    lines = []
    for channel in sorted(results[0]["channels"]):
        seen = {result["host"]: result["channels"][channel] for result in results}
        first = next(iter(seen.values()))
        lines.append(f"{channel}: {first['mode']}, {first['distribution']}")
        for host, view in seen.items():
            if not view["finished"]:
                lines.append(f"  {host}: NOT FINISHED: {view.get('error', 'no end within the time')}")
        for position in range(max(len(view.get("epochs", [])) for view in seen.values())):
            epochs = {h: v["epochs"][position] for h, v in seen.items() if position < len(v.get("epochs", []))}
            lines += _describe_epoch(epochs)
    return lines


def _describe_epoch(epochs: dict[str, Json]) -> list[str]:
    lines = []
    for host, epoch in epochs.items():
        text = f"  epoch {epoch['epoch']} {host}: {len(epoch['shards'])} shards"
        if "seconds_until_fifo" in epoch:
            text += f", FIFO after {epoch['seconds_until_fifo']} s"
        if "closed_early_after_bytes" in epoch:
            text += f", closed after {epoch['closed_early_after_bytes']} bytes"
        text += ":" + "".join(f" {_short(key)}" for key in epoch["shards"])
        lines.append(text + (f"; NOT OF THE DATA SET: {epoch['others']}" if epoch["others"] else ""))
    if any("closed_early_after_bytes" in epoch for epoch in epochs.values()):
        return lines
    held = [key for epoch in epochs.values() for key in epoch["shards"]]
    counts = sorted({len(epoch["shards"]) for epoch in epochs.values()})
    equal = "equal" if len(counts) == 1 else f"NOT EQUAL ({counts})"
    disjoint = "disjoint" if len(set(held)) == len(held) else "not disjoint"
    lines.append(
        f"  epoch {next(iter(epochs.values()))['epoch']} together: {len(set(held))} shards, {equal}, {disjoint}"
    )
    return lines


def _short(key: str) -> str:
    """Return the number of a shard: ``12`` for train/train-00012-of-00128.tfrecord."""
    return key.rpartition("/")[2].rpartition("-of-")[0].rpartition("-")[2].lstrip("0") or "0"


if __name__ == "__main__":
    main()
