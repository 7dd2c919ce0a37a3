"""What tests do to buckets beside this package, with boto3."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def remove_bucket(client: Any, name: str) -> None:
    """Delete a bucket with all that is in it, old versions too."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for found in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            client.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    client.delete_bucket(Bucket=name)


def list_keys_of(client: Any, name: str, prefix: str = "") -> list[str]:
    """Return the keys of a bucket that begin with `prefix`."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def upload_folder(client: Any, name: str, folder: Path, prefix: str) -> str:
    """Put the files below a folder under a prefix; return its URI."""
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(Bucket=name, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())
    return f"s3://{name}/{prefix}"


def download_prefix(client: Any, name: str, prefix: str, folder: Path) -> Path:
    """Write the objects under a prefix as files below a folder; return the folder."""
    for key in list_keys_of(client, name, prefix + "/"):
        path = folder / key.removeprefix(prefix + "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=name, Key=key)["Body"].read())
    return folder
