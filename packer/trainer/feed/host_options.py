"""Options of a data host. Field names are the command line's with underscores."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from packer.channels.jobfiles import DEFAULT_BASE_DIR
from packer.errors import OptionsError
from packer.loading.feed_source import DEFAULT_PORT, TOKEN_VARIABLE
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.trainer.core.recipe import about


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a data host."""

    data: Annotated[str, about("path or URI of a data set (default: the channels of a SageMaker job)")] = ""
    manifest: Annotated[str, about("data set in the channels, if none of them carries its manifest")] = ""
    threads: Annotated[int, about("threads that decode; 0: one for each processor")] = 0
    cache: Annotated[str, about("/folder:200GB keeps shards of a bucket there")] = ""
    transform: Annotated[str, about("module:function that loaders may ask to be called with each image")] = ""
    bind: Annotated[str, about("address that is listened on")] = "0.0.0.0"
    port: Annotated[int, about("port that is listened on; 0: a free one")] = DEFAULT_PORT
    token_file: Annotated[
        str, about(f"file with the token that ranks must give (or the variable {TOKEN_VARIABLE})")
    ] = ""
    tls_cert: Annotated[str, about("PEM file with this host's certificate: ranks connect by TLS alone")] = ""
    tls_key: Annotated[str, about("PEM file with the key of `tls_cert`")] = ""
    start_timeout: Annotated[float, about("seconds to wait for the first word of a rank")] = 1800.0
    idle_timeout: Annotated[float, about("seconds without a word of any rank after which this host ends")] = 120.0
    base_dir: str = DEFAULT_BASE_DIR
    """Folder of a job's channels. Not an option: an environment variable of SageMaker's toolkit sets it."""
    store: StoreOptions = DEFAULT_STORE
    """Store options for reading `data` or `manifest`."""

    def __post_init__(self) -> None:
        if self.data and self.manifest:
            raise OptionsError("expected it with the channels of a SageMaker job, got `data` too", field="manifest")
        if self.threads < 0:
            raise OptionsError(f"expected at least 0, got {self.threads}", field="threads")
        if not 0 <= self.port < 1 << 16:
            raise OptionsError(f"expected 0 to 65535, got {self.port}", field="port")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise OptionsError("expected `tls_cert` and `tls_key` together, got one of them", field="tls_cert")
        for name in ("start_timeout", "idle_timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionsError(f"expected seconds above 0, got {getattr(self, name):g}", field=name)


PLAIN_FIELDS = tuple(name for name in HostOptions.__struct_fields__ if name not in ("base_dir", "store"))
"""Fields that are options."""
