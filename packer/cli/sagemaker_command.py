"""``shardpack sagemaker``: requests for training jobs on a packed data set."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from packer.cli.command_options import place_options, with_fields
from packer.cli.diagnosis_lines import diagnosis_document, diagnosis_lines
from packer.cli.output import Output
from packer.errors import OptionsError
from packer.options import STORE_FIELDS, PackOptions
from packer.parsing import ParseError, parse_json
from packer.sagemaker.job_options import PolicyKind, SageMakerOptions
from packer.typed_values import convert_options

_FIELDS = (
    *msgspec.structs.fields(SageMakerOptions),
    *(field for field in msgspec.structs.fields(PackOptions) if field.name in STORE_FIELDS),
)
_OF_TOOLKIT = "sagemaker_"
"""Begins the hyperparameters of SageMaker's own toolkit."""
_MAX_EVENT_BYTES = 1_000_000_000
EPILOG = """Examples:

  shardpack sagemaker s3://bucket/shards --instances 2 --gpus-per-instance 8 --mode Pipe
  shardpack sagemaker s3://bucket/shards --instances 2 --gpus-per-instance 8 --mode FastFile --job job.json \\
    --image IMAGE --role ROLE --output s3://bucket/out --instance-type ml.c5.18xlarge
  shardpack sagemaker s3://bucket/shards --check job.json
  shardpack sagemaker s3://bucket/shards --policy train --output s3://bucket/out --checkpoint s3://bucket/ck
  shardpack sagemaker --diagnose birds-1"""


@partial(with_fields, fields=_FIELDS)
def sagemaker(
    given: dict[str, Any],
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing")] = False,
) -> None:
    """Show the input channels (InputDataConfig) through which a SageMaker training job reads DEST, and write requests.

    Nothing is sent to SageMaker: requests are for its API, its SDK or the AWS command line.
    """
    reach = {name: value for name, value in given.items() if name in STORE_FIELDS}
    rest = {name: value for name, value in given.items() if name not in STORE_FIELDS}
    options = convert_options(rest, SageMakerOptions)
    if options.check is not None:
        _check(options, place_options(options.dest or ".", reach), as_json=json)
        return
    if options.diagnose is not None:
        _diagnose(options.diagnose, options.events, place_options(options.events or ".", reach), as_json=json)
        return
    if options.policy is not None:
        _show_policy(options, options.policy, place_options(options.dest or ".", reach), as_json=json)
        return
    check_hyperparameters(options.hyperparameter)
    from packer.sagemaker.documents import make_requests

    made = make_requests(options, place_options(options.dest or ".", reach))
    for path, data in made.files.items():
        Path(path).write_bytes(data)
    Output(as_json=json).requested(made)


def check_hyperparameters(texts: Sequence[str]) -> None:
    """Look whether the trainer has an option for each K=V. Raises OptionsError.

    On SageMaker an unknown one ends the job after its instances were started and its data were fetched.
    """
    if not texts:
        return
    from packer.trainer.cli import list_names

    known = list_names()
    for name in (text.partition("=")[0] for text in texts):
        if name not in known and not name.startswith(_OF_TOOLKIT):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise OptionsError(
                f"expected an option of the trainer (python -m packer.trainer --help), got {name!r}{hint}",
                field="hyperparameter",
            )


def _diagnose(job: str, events: str | None, reach: PackOptions, *, as_json: bool) -> None:
    """Say why a job is slow. Raises OptionsError, StoreError."""
    from packer.sagemaker.diagnosis import diagnose, read_wait_share
    from packer.sagemaker.job_metrics import measure_job, open_clients
    from packer.stores.open_store import read_file

    wait_share = None
    if events is not None:
        try:
            lines = read_file(events, reach.source_store(), max_bytes=_MAX_EVENT_BYTES)
        except OSError as error:
            raise OptionsError(
                f"expected a file of events, but {events} cannot be read: {error}", field="events"
            ) from None
        wait_share = read_wait_share(lines, name=events)
    sagemaker_client, cloudwatch = open_clients(reach.profile)
    figures = measure_job(job, sagemaker_client, cloudwatch, now=datetime.now(UTC))
    findings = diagnose(figures, wait_share)
    document = diagnosis_document(figures, wait_share, findings)
    Output(as_json=as_json).told(document, diagnosis_lines(figures, findings))


def _show_policy(options: SageMakerOptions, kind: PolicyKind, reach: PackOptions, *, as_json: bool) -> None:
    """Print a policy document, which is JSON anyway: in lines for people. Raises OptionsError."""
    from packer.sagemaker.policies import build_policy

    places = options.policy_places(kms_key=reach.kms_key or "", has_tags=bool(reach.tags))
    policy = build_policy(kind, places)
    Output(as_json=as_json).told(policy, msgspec.json.format(msgspec.json.encode(policy)).decode().splitlines())


def _check(options: SageMakerOptions, reach: PackOptions, *, as_json: bool) -> None:
    """Print what is wrong with the document in a file. Raises OptionsError, or Exit(1) where something is."""
    from packer.dataset.load import load_manifest
    from packer.sagemaker.documents import advise_on, check_document
    from packer.stores.open_store import open_store

    path = str(options.check)
    try:
        document = parse_json(Path(path).read_bytes())
    except (OSError, ParseError) as error:
        raise OptionsError(f"--check: expected a JSON file, but {path} cannot be read: {error}") from None
    faults = check_document(document)
    manifest = load_manifest(open_store(options.dest, reach.source_store())) if options.dest else None
    Output(as_json=as_json).checked(path, faults, advise_on(document, manifest))
    if faults:
        raise typer.Exit(1)
