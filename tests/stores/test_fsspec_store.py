import re
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from packer.dataset.shardcheck import manifest_shards
from packer.errors import ClaimLostError, OptionsError, SourceError, StoreError
from packer.pipeline import pack
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source
from packer.stores import fsspec_store
from packer.stores.fsspec_store import RemoteStore
from packer.stores.open_store import open_store
from packer.stores.store import Claim, Store
from tests.sources.packed import write_tar, write_zip
from tests.stores.store_contract import StoreContract
from tests.tools.datasets import SerialEngine, image_bytes, make_options, pack_small, read_manifest, write_images


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return RemoteStore(f"memory://{uuid.uuid4().hex}/data")

    def again(self, store: Store) -> Store:
        return open_store(store.uri)


def test_elsewhere_than_in_memory_too_nothing_is_created_under_a_claim_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsspec_store, "_CREATES_ATOMICALLY", {"local"})
    store = RemoteStore(f"local://{tmp_path}/data")
    (tmp_path / "data").mkdir()
    store.put("claim", [b"another's"])
    lost = store.claimed(Claim(key="claim", tag="of before"))
    with pytest.raises(ClaimLostError):
        lost.put_if_absent("a", [b"late"])
    assert [info.key for info in store.list()] == ["claim"]


def test_packing_in_memory_gives_the_bytes_of_a_disk(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 12)
    source, dest = (f"memory://{uuid.uuid4().hex}/{name}" for name in ("photos", "packed"))
    for path in images.glob("*/*"):
        RemoteStore(source).put(str(path.relative_to(images)), [path.read_bytes()])
    pack(make_options(source, dest, allow_fill=True), engine=SerialEngine())
    local = pack_small(images, tmp_path / "packed", allow_fill=True)
    assert local.manifest is not None
    assert RemoteStore(dest).get("manifest.json") == (tmp_path / "packed/manifest.json").read_bytes()
    for _, shard in manifest_shards(read_manifest(tmp_path / "packed")):
        assert RemoteStore(dest).get(shard.key) == (tmp_path / "packed" / shard.key).read_bytes()


def test_a_place_that_cannot_create_exclusively_refuses_the_claim() -> None:
    store = RemoteStore("local:///tmp/nothing-is-written-here")
    with pytest.raises(OptionsError, match="`dest`: expected"):
        store.put_if_absent("k", [b"x"])


@pytest.mark.parametrize("dest", ["abfs://container/set", "sftp://host/set", "HTTP://host/set"])
def test_a_place_that_cannot_be_claimed_is_refused_before_any_work(tmp_path: Path, dest: str) -> None:
    with pytest.raises(OptionsError, match="`dest`: expected a folder, s3:// or gs://, got"):
        pack(make_options(tmp_path / "nothing-is-read-here", dest), engine=SerialEngine())


class _WebServer(SimpleHTTPRequestHandler):
    """Python's own, which serves no parts of files, and one that does."""

    serves_parts = True

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        parts = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if parts is None or not self.serves_parts or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()[int(parts[1]) : int(parts[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(_WebServer, "serves_parts", True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_WebServer, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_packing_from_a_web_server_gives_the_bytes_of_a_disk(tmp_path: Path, web: str) -> None:
    images = write_images(tmp_path / "images", 12)
    write_zip(images, {f"c1/{n}.jpg": image_bytes(n) for n in range(4)})
    write_tar(images, {f"c2/{n}.jpg": image_bytes(n) for n in range(4)})
    local = pack_small(images, tmp_path / "a", allow_fill=True)
    found = pack(make_options(f"{web}/images", tmp_path / "b", allow_fill=True), engine=SerialEngine())
    assert found.manifest == local.manifest
    for _, shard in manifest_shards(read_manifest(tmp_path / "a")):
        assert (tmp_path / "a" / shard.key).read_bytes() == (tmp_path / "b" / shard.key).read_bytes()


@pytest.mark.slow
def test_what_a_web_server_cannot_do_is_said(tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set.zip").write_bytes(bytes(range(200)))
    store = RemoteStore(web)
    assert store.get_range("set.zip", 10, 13) == b"\n\v\f"
    monkeypatch.setattr(_WebServer, "serves_parts", False)
    with pytest.raises(StoreError, match=r"set\.zip: expected at most 3 bytes, got 200: the place does not"):
        store.get_range("set.zip", 10, 13)
    with pytest.raises(OptionsError, match="`dest`: expected"):
        store.put_if_absent("k", [b"x"])
    with pytest.raises(SourceError, match="nothing there"):
        list_source(SourceSpec(source=f"{web}/none"))


def test_a_host_that_cannot_be_reached_is_told_in_one_line() -> None:
    with pytest.raises(StoreError, match=r"^ftp://127\.0\.0\.1:9/x: cannot be reached \(\w+\)") as error:
        RemoteStore("ftp://127.0.0.1:9/x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["ftp://user:SECRET@host/a", "https://host/a?X-Amz-Signature=SECRET"])
def test_secrets_in_a_url_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(OptionsError) as error:
        open_store(uri)
    assert "SECRET" not in str(error.value)
    assert "no user, password or query" in str(error.value)
