"""What of this machine matters to shardpack, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec

from packer.distributions import installed_version
from packer.imaging.codecs_report import list_codecs, resampling_instructions
from packer.loading.region_decoder import find_region_jpeg_decoder
from packer.processors import count_processors
from packer.stores.credentials_report import find_credentials_source

_MIN_FREE_BYTES = 10 * 10**9
_MIN_OPEN_FILES = 1024
_NVIDIA_FILES = ("/dev/nvidia0", "/dev/nvidiactl")
_EXTRAS = {
    "pyspark": "spark",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "mxnet": "mxnet",
    "horovod": "horovod",
    "s3fs": "s3fs",
    "vl_convert": "report",
}
"""Modules that extras install, and the extras."""
_DISTRIBUTIONS = {"vl_convert": "vl-convert-python"}
_CUDA_OF = {
    "torch": "import torch; print(torch.version.cuda or '', torch.cuda.is_available())",
    "tensorflow": "import tensorflow as t; print(t.sysconfig.get_build_info().get('cuda_version', ''), "
    "bool(t.config.list_physical_devices('GPU')))",
}
_PROBE_TIMEOUT_S = 60


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    found: str
    ok: bool = True
    """False where something should be done."""
    advice: str = ""
    """What to do; empty where nothing is needed."""


def run_checks() -> tuple[Check, ...]:
    """Look at this machine. Nothing is written, and no request leaves it but those that find credentials."""
    groups: tuple[Callable[[], Iterator[Check]], ...] = (_core, _images, _extras, _java, _gpu, _places, _limits)
    return tuple(check for group in groups for check in group())


def _core() -> Iterator[Check]:
    yield Check(name="shardpack", found=installed_version("shardpack") or "not installed, run from its folder")
    yield Check(name="Python", found=f"{platform.python_version()} at {sys.executable}")
    yield Check(name="machine", found=f"{platform.machine()}, {count_processors()} cores, {_memory_text()}")
    for name in ("pyarrow", "numpy", "obstore", "boto3"):
        yield Check(name=name, found=installed_version(name) or "missing")


def _images() -> Iterator[Check]:
    for name, found in list_codecs().items():
        advice = "" if found else "install a Pillow that was built with it: pip install --force-reinstall pillow"
        yield Check(name=f"codec {name}", found=found or "missing", ok=bool(found), advice=advice)
    yield Check(name="resampling", found=resampling_instructions())
    has_part = find_region_jpeg_decoder() is not None
    advice = "" if has_part else "optional: make crop-decoder, or a wheel that has it, saves a part of decoding crops"
    yield Check(name="crop decoder", found="compiled" if has_part else "not built", advice=advice)


def _extras() -> Iterator[Check]:
    for module, extra in _EXTRAS.items():
        found = installed_version(_DISTRIBUTIONS.get(module, module)) if importlib.util.find_spec(module) else None
        yield Check(name=module, found=found or "not installed", advice="" if found else f"pip install '.[{extra}]'")


def _java() -> Iterator[Check]:
    program = shutil.which("java")
    needs_it = importlib.util.find_spec("pyspark") is not None
    if program is None:
        advice = "`engine=spark` needs Java 17: Debian's openjdk-17-jre-headless"
        yield Check(name="Java", found="not installed", ok=not needs_it, advice=advice)
        return
    run = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S)
    yield Check(name="Java", found=(run.stderr or run.stdout).partition("\n")[0])


def _gpu() -> Iterator[Check]:
    device = next(filter(os.path.exists, _NVIDIA_FILES), None)
    yield Check(name="GPU", found=f"an NVIDIA device ({device})" if device else "none")
    for module, code in _CUDA_OF.items():
        if device is None or importlib.util.find_spec(module) is None:
            continue
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S
        )
        cuda, _, sees = run.stdout.strip().rpartition(" ")
        is_seen = sees == "True"
        advice = "" if is_seen else f"install a {module} for CUDA, and start containers with docker run --gpus all"
        yield Check(
            name=f"{module} and CUDA",
            found=f"CUDA {cuda or 'none'}, GPU seen: {sees or 'no'}",
            ok=is_seen,
            advice=advice,
        )


def _places() -> Iterator[Check]:
    source = find_credentials_source()
    advice = "" if source else "s3:// needs some: aws configure, a role, or the variables AWS_ACCESS_KEY_ID and others"
    yield Check(name="AWS credentials", found=f"from {source}" if source else "none found", advice=advice)
    for name, path in (("free here", os.getcwd()), ("free for temporary files", os.environ.get("TMPDIR", "/tmp"))):
        free = shutil.disk_usage(path).free
        is_much = free >= _MIN_FREE_BYTES
        yield Check(
            name=name,
            found=f"{free / 1e9:,.1f} GB in {path}",
            ok=is_much,
            advice="" if is_much else "a data set needs about as much as its shards: choose another disk",
        )


def _limits() -> Iterator[Check]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = soft >= _MIN_OPEN_FILES
    yield Check(
        name="open files",
        found=f"at most {soft:,}",
        ok=is_enough,
        advice="" if is_enough else f"ulimit -n {_MIN_OPEN_FILES}",
    )


def _memory_text() -> str:
    num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{num_bytes / 1e9:,.0f} GB of memory"
