"""Tries the server on pictures that it draws itself, so that no file is needed: what stands in them must come back."""

from __future__ import annotations

from urllib.parse import quote

from vision.call import Call, ProgressCallback
from vision.errors import EngineUnavailable, ModelFailed, VisionError
from vision.reading import read_pages
from vision.service import VisionService

_WORDS = "Hello 2026"
# What reading text cannot tell.
_QUESTION, _RIGHT, _WRONG = "What colour is the circle?", "blue", "red"


def _drawn(width: int, height: int, *shapes: str) -> str:
    """A picture on white as a data: URI."""
    white = f"<rect width='{width}' height='{height}' fill='white'/>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>{white}{''.join(shapes)}</svg>"
    return f"data:image/svg+xml,{quote(svg)}"


def _words() -> str:
    return _drawn(600, 160, f"<text x='40' y='100' font-size='64' font-family='Helvetica'>{_WORDS}</text>")


def _shapes() -> str:
    circle = f"<circle cx='120' cy='120' r='88' fill='{_RIGHT}'/>"
    return _drawn(448, 448, circle, f"<rect x='248' y='248' width='160' height='160' fill='{_WRONG}'/>")


async def reads_a_picture(service: VisionService) -> str:
    """Lets the embedded engine read words back, and says how it went. Raises VisionError."""
    call = Call(within_s=service.settings.job_within_s)
    with await service.open(_words(), call) as media:
        pages = [page async for page in read_pages(service, media, call, output="text")]
    found = pages[0].page.text
    if found != _WORDS:
        raise VisionError(
            f"read {found!r} where {_WORDS!r} stands", "Reinstall: pip install --force-reinstall rapidocr"
        )
    return f"read {found!r} back in {call.elapsed_s:.1f} s, the recogniser's start included"


async def asks_the_model(service: VisionService, progress: ProgressCallback) -> str:
    """Asks the model what colour a drawn circle has, and says how it went. Raises VisionError."""
    from tools.describe_image import DescribeImageParameters, run

    call = Call(within_s=service.settings.job_within_s, progress=progress)
    choice = await service.engine.choice()
    if choice.model is None:
        raise EngineUnavailable(choice.reason, choice.advice or "See: internvl-mcp doctor")
    asked = DescribeImageParameters(sources=[_shapes()], question=_QUESTION, detail="normal")
    result = await run(service, asked, call)
    answer = " ".join((result.answer or "").split())
    if _RIGHT not in answer.lower() or _WRONG in answer.lower():
        raise ModelFailed(
            f"asked for the colour of a {_RIGHT} circle, {choice.model.variant} answered {answer[:80]!r}",
            "Look at `internvl-mcp doctor`; a damaged download is found with `internvl-mcp pull`.",
        )
    took = f"{call.elapsed_s:.1f} s, loading it included"
    return f"{choice.model.variant} answered {_QUESTION!r} with {answer[:80]!r}, which is right, in {took}"
