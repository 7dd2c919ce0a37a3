"""`croissant.json`: a data set in the words of MLCommons Croissant 1.1, made of its manifest and of nothing else.

The vocabulary is that of https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Each shard is a file with
its digest. The records are those of the tables ``meta/records/<split>/*.parquet``, of which the columns that every data
set has are described. Nothing in it depends on when or where it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from packer.dataset.manifest import Manifest
from packer.errors import OptionsError
from packer.formats.registry import get_format
from packer.parsing import ParseError, parse_json
from packer.planning.layout import CARD_KEY, CROISSANT_KEY
from packer.shown_text import counted
from packer.specs import FieldKind, FieldSpec, is_training_split
from packer.stores.store import ObjectNotFoundError, Store

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_TABLES = "record-tables"
_PERSON = "person:"
_SPLIT_IN_PATH = r"^(?:meta/records/.+/)?([a-z][a-z0-9-]*)(?:-.+-of-.+\.parquet)?$"
"""Takes ``train`` out of a table's path. Readers apply it to its own result, ``train``, too. And they make globs of
it, with and without each part that may be missing, to find the tables of one split: none of these fits a shard."""
_WRITE_ANEW = "write it anew with shardpack croissant, or remove it"
_CARD_MARK = "<!-- written by shardpack croissant -->"
_SPLIT_TYPES = {"val": "cr:ValidationSplit", "valid": "cr:ValidationSplit", "validation": "cr:ValidationSplit"}
_SPLIT_TYPES["test"] = "cr:TestSplit"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
}
_TERMS = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
    *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What only a person knows of a data set; each is left out where it is empty."""

    name: str = ""
    """Empty: ``shardpack-`` and the first 16 digits of the plan's id."""
    description: str = ""
    """Empty: the counts of the splits."""
    licence: str = ""
    """URL of a licence, or its SPDX identifier."""
    url: str = ""
    """Page of the data set."""
    creators: tuple[str, ...] = ()
    """Names of organisations, and of persons as ``person:Ada Lovelace``."""
    citation: str = ""


def name_of(manifest: Manifest, about: About) -> str:
    """Return what the data set is called."""
    return about.name or f"shardpack-{manifest.plan_id[:16]}"


def describe(manifest: Manifest, about: About) -> str:
    """Return a description in one sentence, which counts the records."""
    counts = ", ".join(f"{split.num_records:,} in {name}" for name, split in manifest.splits.items())
    return about.description or f"Images in {manifest.format} shards: {counts}."


def render_croissant(manifest: Manifest, about: About) -> bytes:
    """Return the document as JSON; the same manifest and words give the same bytes."""
    document: dict[str, Any] = {
        "@context": _CONTEXT | {term: f"cr:{term}" for term in _TERMS},
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name_of(manifest, about),
        "description": describe(manifest, about),
        "license": about.licence,
        "url": about.url,
        "creator": [_creator(name) for name in about.creators],
        "citeAs": about.citation,
        "identifier": f"sha256:{manifest.digest}",
        "distribution": [*_shards(manifest), _tables()],
        "recordSet": [_splits(manifest), _records(manifest)],
    }
    given = {name: value for name, value in document.items() if value not in ("", [])}
    return json.dumps(given, indent=2, ensure_ascii=False).encode() + b"\n"


def _creator(name: str) -> dict[str, str]:
    is_person = name.startswith(_PERSON)
    return {"@type": "sc:Person" if is_person else "sc:Organization", "name": name.removeprefix(_PERSON).strip()}


def _shards(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for split in manifest.splits.values():
        for shard in split.shards:
            yield {
                "@type": "cr:FileObject",
                "@id": shard.key,
                "name": shard.key,
                "contentUrl": shard.key,
                "contentSize": f"{shard.num_bytes} B",
                "encodingFormat": get_format(manifest.format).media_type,
                "sha256": shard.sha256,
            }


def _tables() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": _TABLES,
        "name": _TABLES,
        "description": "One table a shard, one row a record, in the order of the shard.",
        "encodingFormat": "application/x-parquet",
        "includes": "meta/records/*/*.parquet",
    }


def _splits(manifest: Manifest) -> dict[str, Any]:
    types = {
        name: "cr:TrainingSplit" if is_training_split(name) else _SPLIT_TYPES.get(name) for name in manifest.splits
    }
    fields = [{"@type": "cr:Field", "@id": "splits/name", "dataType": "sc:Text"}]
    rows = [{"splits/name": name} for name in manifest.splits]
    if all(types.values()):
        fields.append({"@type": "cr:Field", "@id": "splits/url", "dataType": "sc:URL"})
        rows = [row | {"splits/url": str(types[row["splits/name"]])} for row in rows]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": fields,
        "data": rows,
    }


def _records(manifest: Manifest) -> dict[str, Any]:
    path = {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": _SPLIT_IN_PATH}}
    split: dict[str, Any] = {"@type": "cr:Field", "@id": "records/split", "name": "split", "dataType": "sc:Text"}
    split |= {"source": {"fileSet": {"@id": _TABLES}, **path}, "references": {"field": {"@id": "splits/name"}}}
    fields = [
        split,
        _column("key", "sc:Text", "Path of the source image, relative to the source."),
        _column("source_num_bytes", "sc:Integer", "Size of the source image in bytes."),
        _column("is_fill", "sc:Boolean", "Whether the record repeats another one of its shard."),
        _column("num_bytes", "sc:Integer", "Size of the record in its shard in bytes."),
    ]
    if manifest.label_kind == "class":
        fields.append(_column("label", ["sc:Integer", "cr:Label"], f"Class id, below {manifest.num_classes}."))
    elif manifest.label_kind == "floats":
        label = _column("label", ["sc:Float", "cr:Label"], "Vector of the same length in each record.")
        fields.append(label | {"isArray": True, "arrayShape": "-1"})
    fields += [column for spec in manifest.declared for column in _field_columns(spec)]
    return {"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": fields}


def _field_columns(spec: FieldSpec) -> Iterator[dict[str, Any]]:
    """Yield the columns that the tables of records have of a field."""
    is_array = {"isArray": True, "arrayShape": "-1"}
    if spec.kind is FieldKind.BOXES:
        yield _column(spec.name, "sc:Float", "Left, top, right and bottom of each box, in pixels.") | is_array
        yield _column(spec.class_column, "sc:Integer", "Class id of each box.") | is_array
    elif spec.kind is FieldKind.POINTS:
        yield _column(spec.name, "sc:Float", "x and y of each key point, in pixels.") | is_array
        yield _column(spec.visible_column, "sc:Integer", "0 for a key point that is not visible.") | is_array
    elif spec.is_picture:
        yield _column(spec.name, "sc:Text", f"Path of the {spec.kind} in the source.")


def _column(name: str, data_type: str | list[str], description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": {"fileSet": {"@id": _TABLES}, "extract": {"column": name}},
    }


def render_card(manifest: Manifest, about: About) -> bytes:
    """Return a short README.md that tells the same facts, in Markdown with a head in YAML."""
    head = {"license": about.licence, "pretty_name": name_of(manifest, about)}
    lines = ["---", *(f"{name}: {json.dumps(text, ensure_ascii=False)}" for name, text in head.items() if text), "---"]
    lines += ["", f"# {name_of(manifest, about)}", "", describe(manifest, about), ""]
    lines += ["| split | records | of these repeated | shards | bytes |", "|---|---|---|---|---|"]
    for name, split in manifest.splits.items():
        num_bytes = sum(shard.num_bytes for shard in split.shards)
        lines.append(
            f"| {name} | {split.num_records:,} | {split.num_fills:,} | {len(split.shards):,} | {num_bytes:,} |"
        )
    image = manifest.image
    size = "as they were" if image.keeps_all else f"{image.fit} {image.width}x{image.height} pixels"
    labels = counted(manifest.num_classes, "class", "classes") if manifest.num_classes else manifest.label_kind
    rejects = sum(manifest.rejects.values())
    lines += ["", f"- Images: {image.encode}, {size}", f"- Labels: {labels}"]
    lines += [
        f"- Left out, since they could not be packed: {rejects:,}",
        f"- Exact copies: {manifest.num_duplicates:,}",
    ]
    lines += [f"- Creator: {_creator(name)['name']}" for name in about.creators]
    lines += [f"- Page: {about.url}"] if about.url else []
    lines += [f"- To cite: {about.citation}"] if about.citation else []
    lines += [
        "",
        f"`manifest.json` names every file with its digest; `{CROISSANT_KEY}` says the same in Croissant 1.1.",
    ]
    return "\n".join([*lines, "", _CARD_MARK]).encode() + b"\n"


def check_card(store: Store) -> None:
    """Raise OptionsError where a README.md is there that someone else wrote."""
    with suppress(ObjectNotFoundError):
        if _CARD_MARK.encode() not in store.get(CARD_KEY):
            raise OptionsError(f"{store.uri}/{CARD_KEY} is there and is not shardpack's: move it away", field="card")


def croissant_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    """Yield what `croissant.json`, if there is one, says otherwise than the manifest."""
    try:
        data = store.get(CROISSANT_KEY)
    except ObjectNotFoundError:
        return
    expected = json.loads(render_croissant(manifest, About()))
    try:
        found = parse_json(data, dict[str, Any])
    except ParseError as error:
        yield f"{CROISSANT_KEY}: is not JSON ({error}); {_WRITE_ANEW}"
        return
    for name in ("conformsTo", "identifier", "distribution", "recordSet"):
        if found.get(name) != expected[name]:
            yield f"{CROISSANT_KEY}: its {name} is not that of the manifest; {_WRITE_ANEW}"
