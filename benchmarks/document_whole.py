"""A long document as a whole: outline, any page, search and question through the tool, memory over all its pages.

    INTERNVL_MCP_MEDIA=… python benchmarks/document_whole.py

Prints a table and writes benchmarks/results/document_whole.json. Times are of the whole call, on the wall, decoders in
processes of their own as in the server; what is kept of earlier calls is dropped before each, but where it says so.

Search is judged by the documents' own outlines: each title that stands there once is looked for, and the page it leads
to is the right one. Beside it, where they are installed (pip install bm25s jieba), the library bm25s on the same
passages with words by jieba, by characters, and by pairs of characters.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from mcp_server.running import run_tool
from tests.scripted_model import ScriptedModel, says
from tools.catalogue import TOOLS
from vision.call import Call
from vision.chat.types import ImagePart
from vision.config import Settings
from vision.media.document_search import _CONTENTS_LINKS, _lines
from vision.media.documents import open_document
from vision.search.passages import Passage, passages
from vision.search.ranking import Ranking
from vision.search.words import folded, query, terms
from vision.service import VisionService
from vision.whole import spec
from vision.workers.process import WorkerProcess

LONG = "irs_manual_400p.pdf"
CHINESE = "debian_install_zh_CN_107p.pdf"
QUERIES = (
    "retention register",
    "adjusted gross income",
    "FTD penalty",
    '"reversed transaction"',
    "unpostable code 198",
)
QUESTION = "Which command code restores a record from the retention register?"
READ = next(tool for tool in TOOLS if tool.name == "read_document")


def resident_mib(pid: int | None = None) -> int:
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


class Timed:
    """Calls of the tool on one service."""

    def __init__(self, service: VisionService) -> None:
        self.service = service

    async def call(self, *, keep: bool = False, **arguments: Any) -> tuple[float, Any]:
        """(milliseconds, result)."""
        if not keep:
            self.service.kept.clear()
        start = time.perf_counter()
        result = await run_tool(self.service, READ, arguments, Call(within_s=300.0))
        return round((time.perf_counter() - start) * 1000, 1), result

    @property
    def decoder(self) -> WorkerProcess:
        return self.service._decoders._idle[0]


def spread(times: list[float]) -> dict[str, float]:
    return {"median_ms": statistics.median(times), "worst_ms": max(times), "count": len(times)}


async def times(folder: Path) -> dict[str, Any]:
    with VisionService(Settings(engine="ocr", decode_timeout_s=120), folder) as service:
        timed = Timed(service)
        cold, _ = await timed.call(source=LONG, format="outline")
        report: dict[str, Any] = {"outline_with_starting_a_decoder_ms": cold}
        report["outline"] = spread([(await timed.call(source=LONG, format="outline"))[0] for _ in range(5)])
        report["outline_and_first_pages"] = spread([(await timed.call(source=LONG))[0] for _ in range(3)])
        text, others = by_need(folder / LONG)
        chosen = random.Random(8).sample(text, 60)
        report["any_page_of_text"] = spread([(await timed.call(source=LONG, pages=str(page)))[0] for page in chosen])
        report["pages_whose_pictures_are_read_too"] = {
            "of_400": len(others),
            **spread([(await timed.call(source=LONG, pages=str(page)))[0] for page in others[:3]]),
        }
        await timed.call(source=LONG, pages=str(chosen[0]))
        again = [(await timed.call(keep=True, source=LONG, pages=str(chosen[0])))[0] for _ in range(5)]
        report["a_page_that_is_kept"] = spread(again)
        report["search"] = spread([(await timed.call(source=LONG, search=words))[0] for words in QUERIES])
        took, result = await timed.call(source=LONG, question=QUESTION)
        report["passages_for_a_question_ms"] = took
        report["passages_on_pages"] = [passage.page for passage in result.passages]
        report["memory_over_all_pages_of_text"] = await memory(timed, text)
    return report


def by_need(path: Path) -> tuple[list[int], list[int]]:
    """Pages that their text layer is enough for, and those of which the recogniser reads something."""
    with open_document(path.read_bytes()) as document:
        numbers = range(1, document.page_count + 1)
        needs = {number: document.read_page(number, format="markdown").needs_ocr for number in numbers}
    return [number for number in numbers if not needs[number]], [number for number in numbers if needs[number]]


async def memory(timed: Timed, numbers: list[int]) -> dict[str, Any]:
    """Resident memory while the pages are read through, following the cursor."""
    rows: list[tuple[int, int, int]] = []
    start = time.perf_counter()
    for first in range(0, len(numbers), 50):  # the pages named in one call have to fit in its parameter
        cursor: dict[str, str] = {"pages": spec(numbers[first : first + 50])}
        while cursor:
            _, result = await timed.call(keep=True, source=LONG, **cursor)
            last = max(page.number for page in result.pages)
            rows.append((last, resident_mib(), resident_mib(timed.decoder.pid)))
            cursor = {"cursor": result.next_cursor} if result.next_cursor else {}
    marks = [next(row for row in rows if row[0] >= min(mark, numbers[-1])) for mark in (50, 100, 200, 300, 400)]
    return {
        "pages": len(numbers),
        "seconds": round(time.perf_counter() - start, 1),
        "replies": len(rows),
        "at_page_server_mib_decoder_mib": marks,
        "kept_bytes": timed.service.kept.size,
    }


async def rendered(folder: Path) -> dict[str, Any]:
    """How many pages a model is shown for a question about all of them."""
    model = ScriptedModel(says("Command code BMFOR, on page 8."))
    with VisionService(Settings(), folder, model.engine()) as service:
        took, result = await Timed(service).call(source=LONG, question=QUESTION)
    shown = [part for ask in model.asked for part in ask.messages[-1].parts if isinstance(part, ImagePart)]
    return {"ms_without_the_model": took, "pages_rendered": len(shown), "pages": list(result.used.pages)}


def search_quality(path: Path) -> dict[str, Any]:
    """Mean reciprocal rank of the right page, and how often it is first and among the first five."""
    with open_document(path.read_bytes()) as document:
        handle: Any = document._handle
        titles = Counter(title.strip() for _, title, _ in handle.get_toc())
        wanted = [(t.strip(), page) for _, t, page in handle.get_toc() if titles[t.strip()] == 1 and len(t) >= 4]
        made: list[tuple[list[Passage], bool]] = []
        for number, page in enumerate(handle, 1):
            inside = sum(link["kind"] in (1, 4) for link in page.get_links())
            made.append((list(passages(number, _lines(page))), inside >= _CONTENTS_LINKS))

    def ours(title: str) -> list[int]:
        ranking = Ranking(query(title))
        for found, contents in made:
            ranking.add(found, contents=contents)
        return list(dict.fromkeys(one.passage.page for one in ranking.best()))

    rows = {"ours": judged(ours, wanted)}
    if importlib.util.find_spec("bm25s") and importlib.util.find_spec("jieba"):
        rows |= {name: judged(peer(words, made), wanted) for name, words in tokenisers().items()}
    return rows


def judged(find: Callable[[str], list[int]], wanted: list[tuple[str, int]]) -> dict[str, float]:
    ranks = [(found.index(page) + 1 if page in found else 0) for title, page in wanted for found in [find(title)]]
    return {
        "titles": len(wanted),
        "mrr": round(sum(1 / rank for rank in ranks if rank) / len(ranks), 3),
        "first": round(sum(rank == 1 for rank in ranks) / len(ranks), 3),
        "first_five": round(sum(0 < rank <= 5 for rank in ranks) / len(ranks), 3),
    }


def tokenisers() -> dict[str, Callable[[str], list[str]]]:
    import jieba

    jieba.setLogLevel(60)
    return {
        "bm25s, words by jieba": lambda text: [w for w in jieba.lcut_for_search(folded(text)) if re.search(r"\w", w)],
        "bm25s, characters": lambda text: re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", folded(text)),
        "bm25s, pairs of characters": lambda text: terms(folded(text)),
    }


def peer(words: Callable[[str], list[str]], made: list[tuple[list[Passage], bool]]) -> Callable[[str], list[int]]:
    """bm25s on the same passages, those of contents pages weighed as ours are."""
    import bm25s
    import numpy as np

    flat = [(passage, contents or "....." in passage.text) for found, contents in made for passage in found]
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index([words(passage.text) for passage, _ in flat], show_progress=False)
    weights = np.array([0.4 if contents else 1.0 for _, contents in flat])

    def find(title: str) -> list[int]:
        known = [word for word in words(title) if word in index.vocab_dict]
        if not known:
            return []
        scores = index.get_scores(known) * weights
        return list(dict.fromkeys(flat[at][0].page for at in np.argsort(-scores, kind="stable") if scores[at] > 0))

    return find


async def main() -> None:
    folder = Path(os.environ["INTERNVL_MCP_MEDIA"]) / "documents"
    report = {
        "file": LONG,
        "load_average_before": round(os.getloadavg()[0], 1),
        **await times(folder),
        "question_with_a_model": await rendered(folder),
        "search_quality": {name: search_quality(folder / name) for name in (LONG, CHINESE)},
    }
    print(json.dumps(report, indent=1, ensure_ascii=False))
    target = Path(__file__).parent / "results" / "document_whole.json"
    target.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    anyio.run(main)
