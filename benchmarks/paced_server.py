"""A server of a model that takes no processor: every answer comes after a fixed time, token by token, however many ask.

    python benchmarks/paced_server.py PORT

As fast as a mid-size model on a GPU with room to spare: the first token after 0.3 s, then 50 a second, 64 in all. What
a client needs more than that is its own time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

FIRST_S, TOKEN_S, TOKENS = 0.3, 0.02, 64
MODEL = {"id": "InternVL-paced", "object": "model", "owned_by": "vllm", "max_model_len": 16384}


def event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


async def answer() -> AsyncIterator[str]:
    """Each token at its time, whatever the ones before it took."""
    clock = asyncio.get_running_loop()
    began = clock.time()
    for token in range(TOKENS):
        await asyncio.sleep(max(0.0, began + FIRST_S + token * TOKEN_S - clock.time()))
        yield event({"choices": [{"index": 0, "delta": {"content": f"word{token} "}}]})
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield event({"choices": [], "usage": {"prompt_tokens": 300, "completion_tokens": TOKENS}})
    yield "data: [DONE]\n\n"


async def chat(request: Request) -> StreamingResponse:
    await request.json()
    return StreamingResponse(answer(), media_type="text/event-stream")


async def models(request: Request) -> JSONResponse:
    return JSONResponse({"object": "list", "data": [MODEL]})


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None)
