"""The command that a pipeline packs with."""

from types import SimpleNamespace

import pytest

from packer.channels.channel_plan import Cluster
from packer.options import PackOptions
from packer.sagemaker import repacking
from packer.specs import Encryption


def test_options_of_buckets_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repacking, "load_plan", lambda store: SimpleNamespace(options={"source": "s3://b/photos"}))
    monkeypatch.setattr(repacking, "load_manifest", lambda store, missing_ok: None)
    monkeypatch.setattr(repacking, "open_store", lambda uri, options: None)
    options = PackOptions(
        source=".", dest=".", sse=Encryption.KMS, kms_key="k", tags="a=b,c=d", storage_class="STANDARD_IA",
        requester_pays=True, endpoint_url="http://127.0.0.1:1", profile="mine",
    )  # fmt: skip
    store = SimpleNamespace(uri="s3://b/set")
    found = repacking.repacking_arguments(store, options, Cluster(instances=1, gpus_per_instance=2), dest="s3://b/new")
    assert found == [
        "pack", "s3://b/photos", "s3://b/new", "--instances", "1", "--gpus-per-instance", "2", "--requester-pays",
        "--sse", "aws:kms", "--kms-key", "k", "--storage-class", "STANDARD_IA", "--tags", "a=b,c=d", "--resume",
    ]  # fmt: skip
