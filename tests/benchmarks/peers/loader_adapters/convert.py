"""JPEG files in folders of classes to what a peer streams:  python convert.py litdata|streaming FILES DEST"""

from __future__ import annotations

import sys
from pathlib import Path

import some_torchvision  # noqa: F401 - which both peers import


def to_sample(item: tuple[str, int]) -> dict[str, object]:
    path, label = item
    return {"image": Path(path).read_bytes(), "label": label}


def to_litdata(items: list[tuple[str, int]], dest: str) -> None:
    import litdata

    litdata.optimize(fn=to_sample, inputs=items, output_dir=dest, num_workers=1, chunk_bytes="64MB", mode="overwrite")


def to_streaming(items: list[tuple[str, int]], dest: str) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=dest, columns={"image": "bytes", "label": "int"}, size_limit=8_000_000) as writer:
        for item in items:
            writer.write(to_sample(item))


def main() -> None:
    way, files, dest = sys.argv[1:]
    items = [(str(path), int(path.parent.name)) for path in sorted(Path(files).glob("*/*.jpg"))]
    {"litdata": to_litdata, "streaming": to_streaming}[way](items, dest)


if __name__ == "__main__":
    main()
