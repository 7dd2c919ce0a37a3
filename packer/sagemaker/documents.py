"""Makes the documents that SageMaker takes from options and a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, feedable, plan_channels
from packer.channels.key_lists import format_key_list, parse_key_list
from packer.dataset.load import load_manifest
from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError
from packer.options import PackOptions
from packer.parsing import ParseError, parse_json
from packer.sagemaker.house_rules import channel_list_departures
from packer.sagemaker.input_data import build_channels
from packer.sagemaker.job_advice import training_job_advice
from packer.sagemaker.job_options import SageMakerOptions
from packer.sagemaker.pipeline_rules import pipeline_advice, pipeline_faults
from packer.sagemaker.pipelines import EXECUTION, PipelineSpec, build_pipeline
from packer.sagemaker.published_lists import check_key_lists, upload_key_lists
from packer.sagemaker.repacking import repacking_arguments
from packer.sagemaker.rules import channel_list_faults, training_job_faults
from packer.sagemaker.sdk2 import format_sdk2_source
from packer.sagemaker.sdk3 import format_sdk3_source
from packer.sagemaker.training_request import build_job, splits_read
from packer.sagemaker.unused_options import check_all_is_used
from packer.sagemaker.validation import request_faults
from packer.sagemaker.volume_rule import channel_bytes, volume_departures
from packer.stores.open_store import open_store
from packer.stores.store import Store

_DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRequests:
    """The channels and documents that the options ask for."""

    dest: str
    channels: list[dict[str, Any]]
    """InputDataConfig."""
    uploaded: tuple[str, ...]
    """Keys of the lists of shards that were written."""
    files: dict[str, bytes]
    """Content of each document by the path to write it to."""


def make_requests(options: SageMakerOptions, access: PackOptions) -> MadeRequests:
    """Make the documents that the options ask for; with `upload`, also write the lists of shards.

    Args:
        options: of the command.
        access: options for access to the data set's store.

    Raises:
        NotADataSetError, DataSetError: there is no data set, or it is damaged.
        OptionsError: the data set does not fit the cluster, or SageMaker would refuse the request.
        OSError: the data set's store cannot be read or written to.
    """
    if not options.dest:
        raise OptionsError("expected a data set, got none", field="dest")
    check_all_is_used(options, access)
    cluster, mode = options.cluster(), options.input_mode()
    store = open_store(options.dest, access.dest_store() if options.upload else access.source_store())
    place = options.place(store.uri)
    if options.upload and place.file_system is not None:
        raise OptionsError(
            "expected with a data set in S3, got `mode=FileSystem`, which needs no lists", field="upload"
        )
    manifest = load_manifest(store)
    plans = plan_channels(manifest, cluster, mode=mode, splits=options.split_names(), shuffle_seed=options.shuffle_seed)
    plans = feedable(plans) if options.data_group else plans
    channels = build_channels(plans, place)
    files = _documents(options, access, store, manifest, plans)
    uploaded: tuple[str, ...] = ()
    if options.upload:
        uploaded = upload_key_lists(store, manifest, local_size=cluster.gpus_per_instance)
    elif place.file_system is None:
        check_key_lists(store, manifest, plans, local_size=cluster.gpus_per_instance)
    return MadeRequests(dest=store.uri, channels=channels, uploaded=uploaded, files=files)


def check_document(document: object) -> list[str]:
    """Return the faults of a document: channels, a list of shards, a pipeline or a CreateTrainingJob request."""
    if isinstance(document, list) and _is_key_list(document):
        return _key_list_faults(document)
    if isinstance(document, list):
        return channel_list_faults(document)
    if isinstance(document, dict) and "Steps" in document:
        return list(pipeline_faults(document))
    if isinstance(document, dict) and "PipelineName" in document:
        return _pipeline_request_faults(document)
    return training_job_faults(document)


def advise_on(document: object, manifest: Manifest | None = None) -> list[str]:
    """Return advice on a document that SageMaker would take. `manifest` is that of the data set which the job reads."""
    if isinstance(document, list):
        return [] if _is_key_list(document) else channel_list_departures(document)
    if isinstance(document, dict) and "Steps" in document:
        return pipeline_advice(document)
    if isinstance(document, dict) and "PipelineName" in document:
        return _pipeline_request_advice(document)
    sizes = {} if manifest is None else channel_bytes(manifest)
    return [*training_job_advice(document), *volume_departures(document, sizes)]


def _is_key_list(document: list[Any]) -> bool:
    return isinstance(document[0] if document else None, dict) and "prefix" in document[0]


def _pipeline_request_advice(request: dict[str, Any]) -> list[str]:
    if _pipeline_request_faults(request) or "PipelineDefinition" not in request:
        return []
    return [f"PipelineDefinition: {text}" for text in pipeline_advice(parse_json(request["PipelineDefinition"]))]


def _key_list_faults(document: list[object]) -> list[str]:
    try:
        format_key_list(parse_key_list(msgspec.json.encode(document), name="the list"))
    except (DataSetError, OptionsError) as error:
        return [str(error)]
    return []


def _pipeline_request_faults(request: dict[str, Any]) -> list[str]:
    faults = list(request_faults("CreatePipeline", request))
    if faults or "PipelineDefinition" not in request:
        return faults
    try:
        definition = parse_json(request["PipelineDefinition"])
    except ParseError as error:
        return [f"PipelineDefinition: expected JSON, but {error}"]
    return [f"PipelineDefinition: {fault}" for fault in pipeline_faults(definition)]


def _documents(
    options: SageMakerOptions, access: PackOptions, store: Store, manifest: Manifest, plans: tuple[ChannelPlan, ...]
) -> dict[str, bytes]:
    """Return the requested documents by their paths."""
    documents: dict[str, bytes] = {}
    if options.job is not None or options.sdk is not None:
        name = f"shardpack-{manifest.digest[:_DIGEST_DIGITS]}"
        spec = options.job_spec(default_name=name, kms_key=access.kms_key or "")
        job = build_job(spec, plans, options.place(store.uri), options.cluster())
        for problem in volume_departures(job, channel_bytes(manifest)):
            raise OptionsError(f"the training job: {problem}", field="volume_gb")
        if options.job is not None:
            documents[options.job] = _as_json(job)
        if options.sdk is not None:
            format_source = format_sdk2_source if options.sdk_version == 2 else format_sdk3_source
            documents[options.sdk] = format_source(job).encode()
    if options.pipeline is not None:
        documents[options.pipeline] = _as_json(_pipeline(options, access, store, manifest, plans))
    return documents


def _pipeline(
    options: SageMakerOptions, access: PackOptions, store: Store, manifest: Manifest, plans: tuple[ChannelPlan, ...]
) -> dict[str, Any]:
    if options.input_mode() is InputMode.FILE_SYSTEM:
        raise OptionsError(
            "expected `mode=File`, FastFile or Pipe, since a pipeline packs into a bucket", field="pipeline"
        )
    cluster = options.cluster()
    dataset = f"{store.uri}-runs/{manifest.plan_id[:_DIGEST_DIGITS]}-{cluster.instances}x{cluster.gpus_per_instance}"
    spec = options.job_spec(default_name="in-pipeline", kms_key=access.kms_key or "")
    if spec.checkpoint:
        spec = replace(spec, checkpoint=f"{spec.checkpoint.rstrip('/')}/{EXECUTION}")
    job = build_job(spec, plans, options.place(dataset), cluster)
    pipeline = PipelineSpec(
        pack_image=options.pack_image,
        pack_arguments=tuple(repacking_arguments(store, access, cluster, dest=dataset)),
        dataset=dataset,
        instance_type=options.processing_instance_type,
        volume_gb=options.volume_gb,
        eval_split=splits_read(spec, plans)[1],
        min_accuracy=options.min_accuracy,
        model_package_group=options.model_package_group,
        inference_image=options.inference_image,
        pack_instances=options.pack_instances,
        cache_days=options.cache_days,
        hyperparameters=tuple(name for name, _ in spec.hyperparameters if not name.startswith("sagemaker_")),
    )
    return build_pipeline(pipeline, job)


def _as_json(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
