"""The log on standard error: for people, or a JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal


def start(level: str, form: Literal["text", "json"]) -> None:
    """`level`: a name as `logging` knows it, in lower case."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Readable())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def tell_requests() -> None:
    """Lets the lines about requests over HTTP through, whatever else is kept back: they hold no content."""
    logging.getLogger("internvl_mcp.http").setLevel(logging.INFO)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a message was told beside its words: `extra={"fields": {…}}`."""
    return getattr(record, "fields", {})


class Readable(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("internvl-mcp: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        told = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        return f"{super().formatMessage(record)} {told}".rstrip()


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
