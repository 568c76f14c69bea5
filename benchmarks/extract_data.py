"""How much of real documents extract_data fills without a model: the manifests' fields and tables asked for as schemas.

    INTERNVL_MCP_MEDIA=… python benchmarks/extract_data.py [--only NAME]

Every field of documents/ and text/ becomes a property, a number where the truth is one, else a string; a table becomes
an array of objects with its heads as properties. A value counts as right when it is the truth, in the scorers' normal
form; as part when it holds the truth or is held by it; as null; else as wrong. Nulls cost a question, wrong values cost
trust. Prints a table and writes benchmarks/results/extract_data.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from scoring import normalise

from mcp_server.app import LazyService, build_app
from vision.config import Settings

_NUMBER = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?")
RESULTS = Path(__file__).parent / "results" / "extract_data.json"


def schema_of(fields: dict[str, str], table: list[list[Any]] | None) -> dict[str, Any]:
    properties: dict[str, Any] = {name: _leaf(value) for name, value in fields.items()}
    if table:
        heads = {str(head): {"type": "string"} for head in table[0]}
        properties["rows"] = {"type": "array", "items": {"type": "object", "properties": heads}}
    return {"type": "object", "properties": properties}


def _leaf(value: str) -> dict[str, Any]:
    return {"type": "number"} if _NUMBER.fullmatch(value) else {"type": "string"}


def judged(truth: Any, got: Any) -> str:
    """right, part, null or wrong."""
    if got is None or got == "":
        return "null" if str(truth).strip() else "right"
    if isinstance(got, int | float):
        return "right" if float(str(truth)) == got else "wrong"
    wanted, said = (re.sub(r"[\s_]+", "", normalise(str(value))).casefold().replace("μ", "µ") for value in (truth, got))
    if wanted == said:
        return "right"
    return "part" if said and (said in wanted or wanted in said) else "wrong"


def rows_judged(table: list[list[Any]], rows: list[dict[str, Any]]) -> dict[str, int]:
    """The cells of the truth's rows, by place; sums below a table are no rows of it, and rows too many are wrong."""
    counts = {"right": 0, "part": 0, "null": 0, "wrong": 0}
    truth = [row for row in table[1:] if "Total" not in row]
    for place, row in enumerate(truth):
        got = rows[place] if place < len(rows) else {}
        for head, cell in zip(table[0], row, strict=True):
            counts[judged(cell, got.get(str(head)))] += 1
    counts["wrong"] += sum(value is not None for row in rows[len(truth) :] for value in row.values())
    return counts


async def measured(client: Client, kind: str, row: dict[str, Any]) -> dict[str, Any] | None:
    fields, table = row["truth"].get("fields") or {}, row["truth"].get("table")
    if not fields and not table:
        return None
    arguments = {"source": f"{kind}/{row['file']}", "schema": schema_of(fields, table)}
    began = time.perf_counter()
    answer = await client.call_tool("extract_data", arguments)
    seconds = time.perf_counter() - began
    assert not answer.is_error and answer.structured_content is not None, answer.content
    data = answer.structured_content["data"]
    counts = {"right": 0, "part": 0, "null": 0, "wrong": 0}
    misses: dict[str, Any] = {}
    for name, value in fields.items():
        verdict = judged(value, data[name])
        counts[verdict] += 1
        if verdict in ("part", "wrong"):
            misses[name] = [value, data[name]]
    cells = rows_judged(table, data["rows"]) if table else None
    return {"file": row["file"], "fields": counts, "cells": cells, "seconds": round(seconds, 1), "misses": misses}


async def main(only: str | None) -> None:
    folder = Path(os.environ["INTERNVL_MCP_MEDIA"])
    settings = Settings(engine="ocr", roots=(folder,), reply_within_s=300, decode_timeout_s=120)
    found: list[dict[str, Any]] = []
    async with Client(build_app(LazyService(settings, folder))) as client:
        for kind in ("documents", "text"):
            for line in (folder / kind / "manifest.jsonl").read_text().splitlines():
                row = json.loads(line)
                if only and only not in row["file"]:
                    continue
                one = await measured(client, kind, row)
                if one is not None:
                    found.append(one)
                    print(f"{one['file']:36} fields {one['fields']} cells {one['cells']} {one['seconds']} s")
    total = {
        part: {name: sum(one[part][name] for one in found if one[part]) for name in ("right", "part", "null", "wrong")}
        for part in ("fields", "cells")
    }
    print(json.dumps(total, indent=1))
    if not only:
        RESULTS.write_text(json.dumps({"total": total, "files": found}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="part of a file's name")
    anyio.run(main, parser.parse_args().only)
