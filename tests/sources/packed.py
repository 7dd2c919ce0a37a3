"""Making archives for the tests."""

import io
import tarfile
import zipfile
from pathlib import Path


def write_tar(folder, names, name="set.tar", **options):
    """Write a tar of `names`: a mapping of names to bytes, or names whose content is the name itself."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for member, content in contents(names):
            header = tarfile.TarInfo(member)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def write_zip(folder, names, name="set.zip", compression=zipfile.ZIP_DEFLATED):
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, content in contents(names):
            archive.writestr(zipfile.ZipInfo(member), content, compress_type=compression)
    return path


def contents(names):
    return names.items() if isinstance(names, dict) else [(name, name.encode()) for name in names]
