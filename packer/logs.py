"""Where log records of this package go: nowhere, unless a command line or a caller's own logging asks for them.

Each module that has something to tell has a logger of its own, `packer.stores.s3` for one. As a library nothing is
shown: a caller adds handlers to the logger `packer` as to any other. A command line calls `start_logs`, and so do the
processes that it starts, which find what it was asked for in the environment; all of them write to standard error.
"""

from __future__ import annotations

import enum
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from packer.shown_text import shown, shown_json, without_secrets

ROOT = "packer"
_VARIABLE = "SHARDPACK_LOGS"
"""Tells processes that this one starts: the level, with ``:json`` behind it for lines of JSON."""


class LogLevel(enum.StrEnum):
    DEBUG = "debug"
    """With the causes of errors of remote places, and each item that is rejected."""
    INFO = "info"
    """Each step of a run."""
    WARNING = "warning"
    """What went on, though not as it should."""
    ERROR = "error"


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How log records are shown."""

    log_level: Annotated[LogLevel, Meta(description="least level of log records on standard error")] = LogLevel.WARNING
    log_json: Annotated[bool, Meta(description="standard error as JSON lines: logs, progress and errors")] = False
    """A line has time (ISO 8601, UTC), level, logger, process (its number) and message."""


def start_logs(settings: LogSettings) -> None:
    """Show this package's log records on standard error, here and in the processes that this one starts."""
    stop_logs()
    logger = logging.getLogger(ROOT)
    handler = _StandardError()
    handler.setFormatter(_JsonLines() if settings.log_json else _PlainLines())
    logger.addHandler(handler)
    logger.setLevel(settings.log_level.upper())
    os.environ[_VARIABLE] = settings.log_level + ":json" * settings.log_json


def stop_logs() -> None:
    """Undo `start_logs`."""
    logger = logging.getLogger(ROOT)
    for handler in [handler for handler in logger.handlers if isinstance(handler, _StandardError)]:
        logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    os.environ.pop(_VARIABLE, None)


def inherited_settings() -> LogSettings | None:
    """Return what the process that started this one was asked for; None where it shows nothing."""
    level, _, form = os.environ.get(_VARIABLE, "").partition(":")
    return LogSettings(log_level=LogLevel(level), log_json=form == "json") if level in list(LogLevel) else None


def start_inherited_logs() -> None:
    """Show log records as the process that started this one does, if it does."""
    if (settings := inherited_settings()) is not None:
        start_logs(settings)


def json_line(level: str, logger: str, message: str, moment: float) -> str:
    """Return a log record as a line of JSON; `moment` is in seconds since 1970."""
    document = {
        "time": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"),
        "level": level.lower(),
        "logger": logger,
        "process": os.getpid(),
        "message": message,
    }
    return shown_json(msgspec.json.encode(document).decode())


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what is standard error at the moment, as tests and notebooks replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:
        return sys.stderr


class _PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f"{moment} {record.levelname.lower()} {record.name} [{record.process}] {shown(_message(record))}"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json_line(record.levelname, record.name, without_secrets(_message(record)), record.created)


def _message(record: logging.LogRecord) -> str:
    """Return a record's text, with the exception that it carries on the same line."""
    error = record.exc_info[1] if record.exc_info else None
    return f"{record.getMessage()}: {type(error).__name__}: {error}" if error else record.getMessage()
