"""Tries the server on pictures that it draws itself, so that no file is needed: what stands in them must come back."""

from __future__ import annotations

import re

from vision.call import Call, ProgressCallback
from vision.errors import EngineUnavailable, ModelFailed, VisionError
from vision.reading import read_pages
from vision.service import VisionService

_WORDS = "Hello 2026"
_NUMBER = "4716"
_QUESTION = "Which number is written in this picture? Answer with the number alone."


def _drawn(text: str) -> str:
    return (
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='600' height='160'%3E"
        "%3Crect width='600' height='160' fill='white'/%3E"
        f"%3Ctext x='40' y='100' font-size='64' font-family='Helvetica'%3E{text}%3C/text%3E%3C/svg%3E"
    )


async def reads_a_picture(service: VisionService) -> str:
    """Lets the embedded engine read words back, and says how it went. Raises VisionError."""
    call = Call(within_s=service.settings.job_within_s)
    with await service.open(_drawn(_WORDS), call) as media:
        pages = [page async for page in read_pages(service, media, call, output="text")]
    found = pages[0].page.text
    if found != _WORDS:
        raise VisionError(
            f"read {found!r} where {_WORDS!r} stands", "Reinstall: pip install --force-reinstall rapidocr"
        )
    return f"read {found!r} back in {call.elapsed_s:.1f} s, the recogniser's start included"


async def asks_the_model(service: VisionService, progress: ProgressCallback) -> str:
    """Asks the model what number a picture shows, and says how it went. Raises VisionError."""
    from tools.describe_image import DescribeImageParameters, run

    call = Call(within_s=service.settings.job_within_s, progress=progress)
    choice = await service.engine.choice()
    if choice.model is None:
        raise EngineUnavailable(choice.reason, choice.advice or "See: internvl-mcp doctor")
    asked = DescribeImageParameters(sources=[_drawn(_NUMBER)], question=_QUESTION, detail="brief")
    result = await run(service, asked, call)
    answer = " ".join((result.answer or "").split())
    if _NUMBER not in re.sub(r"\D", "", answer):
        raise ModelFailed(
            f"{choice.model.variant} answered {answer[:80]!r} where {_NUMBER} is written",
            "Look at `internvl-mcp doctor`; a damaged download is found with `internvl-mcp pull`.",
        )
    return f"{choice.model.variant} answered {answer[:80]!r} in {call.elapsed_s:.1f} s, loading it included"
