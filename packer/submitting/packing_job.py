"""The part of a packing job that all services share: the options, the program and settings of Spark."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import packer
from packer.errors import OptionsError
from packer.options import PackOptions, parse_options
from packer.specs import TABLE_PREFIX
from packer.stores.open_store import find_scheme, is_local
from packer.submitting.job_files import StagedJob, check_staging, stage_bytes, stage_file
from packer.submitting.submit_options import SubmitOptions

ENVIRONMENT = "environment"
"""Folder that Spark unpacks an archive to, in the working directory of driver and executors."""
ENVIRONMENT_PYTHON = f"./{ENVIRONMENT}/bin/python"
HEAP_MB_PER_CORE = 512
BESIDE_HEAP_MB_PER_CORE = 300
"""Memory of a Python worker with a shard of 128 MB: see `packer.engines.spark_memory`."""
_MIN_HEAP_MB = 1024
_MIN_BESIDE_HEAP_MB = 512
_PROGRAMS = Path(packer.__file__).parent / "programs"
_ARCHIVE_ENDS = (".tar.gz", ".tgz")
_WHEEL_END = ".whl"


def stage_packing(options: SubmitOptions, values: Mapping[str, Any], *, program: str) -> StagedJob:
    """Return the files of a packing job with their URIs. Uploads nothing.

    Args:
        options: options of the command.
        values: options of pack, from the file that `config` names.
        program: file name of a program in `packer.programs`.

    Raises:
        OptionsError: options of pack are wrong, or do not work on the nodes of a cluster.
    """
    staging = check_staging(options.wanted("staging"))
    flags = {name: True for name in ("resume", "overwrite") if getattr(options, name)}
    document = _as_document({**values, **flags})
    config = stage_bytes(staging, "pack.json", document)
    code = stage_bytes(staging, program, (_PROGRAMS / program).read_bytes())
    files, package = [code, config], options.package or ""
    if package and is_local(package):
        archive = stage_file(staging, package)
        files, package = [*files, archive], archive.uri
    elif package and find_scheme(package) != "s3":
        raise OptionsError(f"expected a file or an s3:// URI, got {package}", field="package")
    digest = hashlib.sha256(document).hexdigest()
    return StagedJob(program=code.uri, config=config.uri, package=package, digest=digest, files=tuple(files))


def _as_document(values: Mapping[str, Any]) -> bytes:
    """Return the options of pack as JSON with sorted keys. Raises OptionsError."""
    options = parse_options({**values, "engine": "spark"})
    _check_reachable(options)
    return msgspec.json.encode(dict(values), order="deterministic")


def _check_reachable(options: PackOptions) -> None:
    """Check that the nodes of a cluster can reach all paths and URIs. Raises OptionsError."""
    for name in ("source", "dest", "root", "class_map"):
        uri = getattr(options, name)
        if uri is not None and not uri.startswith(TABLE_PREFIX) and is_local(uri):
            raise OptionsError(
                f"expected a place that the cluster reaches, such as s3://bucket/prefix, got {uri}: copy it there",
                field=name,
            )
    if options.profile is not None:
        raise OptionsError("expected none in `config`, since a cluster has a role, and no profiles", field="profile")


def job_name(options: SubmitOptions, staged: StagedJob) -> str:
    """Return the name that the user gave, or one made from the digest of the job's options."""
    return options.name or f"shardpack-{staged.digest[:12]}"


def archive_of(options: SubmitOptions, staged: StagedJob) -> str:
    """Return the URI of the environment's archive; empty if the nodes have the package already.

    Raises:
        OptionsError: the package is not an archive.
    """
    if staged.package and not staged.package.endswith(_ARCHIVE_ENDS):
        raise OptionsError(
            f"expected an archive of an environment (.tar.gz) with `target={options.target}`, got {options.package}; "
            "a wheel has none of the libraries, which EMR's nodes do not have",
            field="package",
        )
    return staged.package


def is_wheel(uri: str) -> bool:
    """Say whether a package is a wheel."""
    return uri.endswith(_WHEEL_END)


def spark_settings(options: SubmitOptions, *, mb_per_core: int = 0) -> dict[str, str]:
    """Return settings of Spark for packing: memory beside the heap for images, and second attempts of slow tasks.

    Settings in `conf` override these. Raises OptionsError.

    Args:
        mb_per_core: least memory of an executor for each core in MB, half of it heap; 0 if the service sets no limit.
    """
    cores, half_mb = options.executor_cores, mb_per_core // 2
    heap_mb = max(_MIN_HEAP_MB, cores * max(half_mb, HEAP_MB_PER_CORE))
    beside_mb = max(_MIN_BESIDE_HEAP_MB, cores * max(half_mb, BESIDE_HEAP_MB_PER_CORE))
    return {
        "spark.executor.cores": str(cores),
        "spark.executor.memory": f"{heap_mb}m",
        "spark.executor.memoryOverhead": f"{beside_mb}m",
        "spark.speculation": "true",
        "spark.speculation.minTaskRuntime": "120s",
        **options.settings(),
    }


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """Return settings as arguments of spark-submit."""
    return [word for name, value in sorted(settings.items()) for word in ("--conf", f"{name}={value}")]
