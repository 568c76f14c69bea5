"""Figures of a server over HTTP, as Prometheus reads them. The one module that imports prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60)
_BUSY = "busy"


class Now(NamedTuple):
    """How it is at the moment: calls at work, calls that wait, bytes of requests that are held."""

    running: Callable[[], int]
    waiting: Callable[[], int]
    held_bytes: Callable[[], int]


class Metrics:
    """`tools`: the names that are told apart; whatever else is asked for counts as "unknown"."""

    def __init__(self, tools: Collection[str], now: Now) -> None:
        self._tools = frozenset(tools)
        self._registry = CollectorRegistry()
        prefix = "internvl_mcp"
        self._calls = Counter(f"{prefix}_calls", "Tool calls that ended.", ("tool", "outcome"), registry=self._registry)
        self._refused = Counter(f"{prefix}_calls_refused", "Tool calls refused as busy.", registry=self._registry)
        self._seconds = Histogram(
            f"{prefix}_call_seconds", "Time of tool calls.", ("tool",), buckets=_SECONDS, registry=self._registry
        )
        for name, told, ask in (
            ("calls_running", "Tool calls at work.", now.running),
            ("calls_waiting", "Tool calls that wait for their turn.", now.waiting),
            ("request_bytes", "Bytes of requests that are held.", now.held_bytes),
        ):
            Gauge(f"{prefix}_{name}", told, registry=self._registry).set_function(ask)
        ProcessCollector(registry=self._registry)

    def observe(self, tool: str, outcome: str, seconds: float) -> None:
        name = tool if tool in self._tools else "unknown"
        self._calls.labels(name, outcome).inc()
        self._seconds.labels(name).observe(seconds)
        if outcome == _BUSY:
            self._refused.inc()

    def shown(self) -> bytes:
        return generate_latest(self._registry)
