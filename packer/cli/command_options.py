"""Command-line options made from the fields of PackOptions, so that both are one list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
import typer

from packer.cli.shown_line import in_flags
from packer.errors import OptionsError, StoreError
from packer.flags import option_name
from packer.help_page import LAST_GROUP, RUN_GROUP, panels
from packer.logs import LogSettings, start_logs
from packer.options import STORE_FIELDS, PackOptions, parse_options
from packer.parsing import ParseError, parse_yaml
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import read_file
from packer.typed_values import check_names, choices_of, convert_options

READING_FIELDS = ("endpoint_url", "profile", "anonymous", "requester_pays", "timeout")
"""Fields of PackOptions that say how a place is reached which is only read."""

BUCKET_GROUP = panels({LAST_GROUP: STORE_FIELDS})
PACK_GROUPS = panels({
    "Source": ("label_column", "key_column", "root", "flat", "class_map", "field", "limit"),
    "Splits": (
        *("split", "split_column", "split_folders", "stratify", "group_column", "seed"),
        *("dedupe", "on_conflict", "near_duplicates"),
    ),
    "Images": ("resize", "fit", "encode", "quality", "subsampling", "alpha", "max_pixels", "item_timeout"),
    "Shards": ("instances", "gpus_per_instance", "gpus", "format", "shard_size", "allow_fill"),
    RUN_GROUP: ("engine", "workers", "on_reject", "max_rejects", "part", "resume", "overwrite"),
}) | BUCKET_GROUP  # fmt: skip
"""The group of each option in the help."""

Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="YAML or JSON file of options")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object as the last thing on standard output")]
Dest = Annotated[str, typer.Argument(metavar="DEST", help="a data set", show_default=False)]

_MAX_CONFIG_BYTES = 100_000
_METAVARS = {
    "shard_size": "SIZE",
    "split": "NAME=SHARE,...",
    "resize": "N|WxH",
    "part": "I/N",
    "max_rejects": "SHARE",
    "tags": "K=V,...",
    "class_map": "FILE",
    "field": "NAME=KIND:COLUMN",
    "endpoint_url": "URL",
    "splits": "NAME,...",
    "instance_group": "NAME=TYPE:COUNT",
    **dict.fromkeys(("hyperparameter", "job_tag", "environment"), "K=V"),
    "min_accuracy": "SHARE",
    "pack_source": "URI",
    "diagnose": "JOB",
    "conf": "K=V",
    **dict.fromkeys(("staging", "logs"), "s3://..."),
    **dict.fromkeys(("job", "sdk", "pipeline", "check", "config", "package", "request"), "FILE"),
}


def with_pack_options(
    command: Callable[..., None], only: Collection[str] = PackOptions.__struct_fields__
) -> Callable[..., None]:
    """Give a command one parameter for each field of PackOptions in `only`, as `with_fields` does."""
    fields = [field for field in msgspec.structs.fields(PackOptions) if field.name in only]
    return with_fields(command, fields, groups=PACK_GROUPS)


def with_fields(
    command: Callable[..., None], fields: Sequence[msgspec.structs.FieldInfo], groups: Mapping[str, str] = BUCKET_GROUP
) -> Callable[..., None]:
    """Give a command one parameter for each of some fields of options, in place of its parameter `given`.

    It has those of `LogSettings`, too, which begin its logs. `groups` names the group of options in the help.

    The command is called with `given`, a dict of the options that were really on the command line: texts, bools and,
    for a field that is a tuple, lists of texts.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    takes_given = any(p.name == "given" for p in parameters)
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if p.name != "given"]
    names = [field.name for field in fields]

    def run(**parameters: Any) -> None:
        logs = {name: parameters.pop(name) for name in LogSettings.__struct_fields__}
        if any(value is not None for value in logs.values()):
            start_logs(convert_options({name: value for name, value in logs.items() if value is not None}, LogSettings))
        given = {name: parameters.pop(name) for name in names}
        if takes_given:
            parameters["given"] = {name: value for name, value in given.items() if value not in (None, [])}
        command(**parameters)

    order = list(dict.fromkeys(groups.values()))
    grouped = sorted(fields, key=lambda field: order.index(groups[field.name]) if field.name in groups else -1)
    every = (*grouped, *msgspec.structs.fields(LogSettings))
    generated = [_parameter(field, groups.get(field.name)) for field in every]
    run.__signature__ = inspect.Signature([*generated, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*generated, *own]}
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


def _parameter(field: msgspec.structs.FieldInfo, group: str | None) -> inspect.Parameter:
    is_flag = field.type is bool or bool in get_args(field.type)
    about = next((m.description for m in field.type.__metadata__ if isinstance(m, msgspec.Meta)), "") or ""
    description = in_flags(about)
    if field.name in ("source", "dest"):
        annotation: Any = Annotated[
            str | None, typer.Argument(metavar=field.name.upper(), help=description, show_default=False)
        ]
    else:
        if field.default not in (None, "", ()) and not is_flag:
            description += f" [default: {field.default}]"
        flag = option_name(field.name)
        declaration = f"{flag}/--no-{flag[2:]}" if is_flag else flag
        metavar = None if is_flag else _METAVARS.get(field.name) or _metavar(field.type)
        option = typer.Option(
            declaration,
            metavar=metavar,
            help=description,
            show_default=False,
            rich_help_panel=group,
            autocompletion=_completion(choices_of(field.type)),
        )
        is_tuple = get_origin(field.type.__origin__) is tuple
        kind = bool if is_flag else list[str] if is_tuple else str
        annotation = Annotated[kind | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _completion(choices: list[str]) -> Callable[[str], list[str]]:
    """Return what tells a shell the values that begin as one that has been begun."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _metavar(hint: Any) -> str:
    """Return the values to choose from, N for a number, TEXT for all else."""
    is_number = int in get_args(hint.__origin__) or hint.__origin__ is int
    return "|".join(choices_of(hint)) or ("N" if is_number else "TEXT")


def place_options(dest: str, given: Mapping[str, Any]) -> PackOptions:
    """Return options that say how one place is reached, and nothing else. Raises OptionsError."""
    return parse_options({"source": dest, "dest": dest, **given})


def given_values(given: dict[str, Any], config: str | None) -> dict[str, Any]:
    """Return the options of the command line over those of the file, which is read as DEST is."""
    if not config:
        return given
    store_options = {name: value for name, value in given.items() if name in STORE_FIELDS}
    return {**load_config(config, place_options(config, store_options).dest_store()), **given}


def load_config(path: str, options: StoreOptions = DEFAULT_STORE) -> dict[str, Any]:
    """Return the options in a YAML or JSON file (JSON is YAML too); hyphens in names count as underscores.

    Args:
        path: of the file, or its URI.
        options: how a remote place is reached.

    Raises:
        OptionsError: the file cannot be read, is not a mapping, or has what is no option.
        StoreError: a remote place failed or refused.
    """
    try:
        values = parse_yaml(read_file(path, options, max_bytes=_MAX_CONFIG_BYTES).decode())
    except StoreError:
        raise
    except OptionsError as error:
        raise OptionsError(f"--config: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"--config: {path} cannot be read: {error}") from None
    except ParseError as error:
        raise OptionsError(f"--config: {path} is not YAML or JSON: {error}") from None
    if not isinstance(values, Mapping):
        raise OptionsError(f"--config: expected a mapping of options in {path}, got {type(values).__name__}")
    for name, value in values.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise OptionsError(f"--config: {path}: expected a number of at most 64 bits as {name}, got a longer one")
    named = {str(name).replace("-", "_"): value for name, value in values.items()}
    check_names(named, PackOptions, before=f"--config: {path}: ")
    return named
