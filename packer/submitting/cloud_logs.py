"""Reads new lines of a job's log from CloudWatch Logs, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packer.submitting.aws_service import RefusedError
from packer.submitting.target import LogPlace, Send

_OF_SPARK = re.compile(r"\d{2,4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d\S* +(TRACE|DEBUG|INFO|WARN)\b|\s+at [\w.$]+\(")
"""Matches lines of Spark's own log, which are mixed with those of the program."""
_LOOKBACK_MS = 60_000
"""Each look goes back this far, since lines may reach CloudWatch out of order."""
_MAX_PAGES = 20
"""Most pages of one look; the next look gets the rest."""


class CloudLogs:
    """Reads streams of CloudWatch Logs, from `start_ms` (milliseconds since 1970) on."""

    def __init__(self, send: Send, places: Sequence[LogPlace], *, start_ms: int) -> None:
        self._send = send
        self._places = places
        self._next_ms = {place: start_ms for place in places}
        self._seen: set[str] = set()
        self._refused: set[LogPlace] = set()

    def new_lines(self) -> Iterator[str]:
        """Yield the lines since the last look; a log group that does not exist yet has none. Raises JobError."""
        for place in self._places:
            if place not in self._refused:
                yield from self._look(place)

    def _look(self, place: LogPlace) -> Iterator[str]:
        request = {
            "logGroupName": place.group,
            "logStreamNamePrefix": place.stream_prefix,
            "startTime": max(0, self._next_ms[place] - _LOOKBACK_MS),
        }
        for _ in range(_MAX_PAGES):
            try:
                answer = self._send("FilterLogEvents", request)
            except RefusedError as error:
                if error.code == "ResourceNotFoundException":
                    return
                self._refused.add(place)
                yield f"the job's log is not shown: {error}"
                return
            for event in answer.get("events", ()):
                self._next_ms[place] = max(self._next_ms[place], event["timestamp"])
                stream = event["logStreamName"]
                if event["eventId"] in self._seen or not stream.endswith(place.stream_end):
                    continue
                self._seen.add(event["eventId"])
                if line := _own_line(event["message"]):
                    host = stream.rpartition("/")[2].rpartition("-")[0]
                    yield f"{host}: {line}" if place.names_stream and host else line
            if not answer.get("nextToken"):
                return
            request["nextToken"] = answer["nextToken"]


def _own_line(message: str) -> str:
    """Return a message without its line end; empty for a line of Spark's own log."""
    line = message.rstrip()
    return "" if _OF_SPARK.match(line) else line
