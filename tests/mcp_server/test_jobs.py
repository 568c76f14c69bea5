"""Jobs within one server: whose they are, a model that is slow to load, tasks for clients that declare them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, ListRootsRequest, ListRootsResult, Request, RequestParams, Result

from mcp_server.app import LazyService, build_app
from mcp_server.job_questions import Questions
from mcp_server.jobs import Job, Jobs
from mcp_server.tasks import EXTENSION
from tests.scripted_model import ScriptedModel, says
from tools.catalogue import TOOLS
from tools.result import EngineUsed, ToolResult
from vision.call import Call
from vision.chat.types import Stage
from vision.config import Settings
from vision.errors import InvalidArgument
from vision.service import VisionService

pytestmark = pytest.mark.anyio
DESCRIBE = next(tool for tool in TOOLS if tool.name == "describe_image")
READ = next(tool for tool in TOOLS if tool.name == "read_document")


async def no_roots() -> tuple[Path, ...]:
    return ()


async def until_ended(job: Job, within_s: float) -> None:
    with anyio.move_on_after(within_s):
        await job.ended.wait()


class SlowModel(ScriptedModel):
    """Loads until it is let go."""

    def __init__(self) -> None:
        super().__init__(says("A chart.", Stage(name="loading", done=1, total=2)))
        self.loaded = anyio.Event()

    async def connect(self, spec: Any) -> Any:
        self.waiting.set()
        await self.loaded.wait()
        return await super().connect(spec)


async def test_a_slow_model_load_is_waited_for_in_the_job_and_its_owner_alone_gets_the_answer(
    sample_files: Any, tmp_path: Path
) -> None:
    model, folder = SlowModel(), sample_files.chart.parent
    settings = Settings(state_folder=tmp_path)
    with VisionService(settings, folder, model.engine()) as service:
        async with anyio.create_task_group() as group:
            jobs = Jobs(service, group, folder, None)
            job = jobs.begin(DESCRIBE, {"sources": ["chart.png"]}, "ann", no_roots)
            with anyio.fail_after(60):
                await model.waiting.wait()
            await jobs.accept(job)
            assert (await jobs.result("ann", job.id, 0, False, until_ended)).state == "working"
            with pytest.raises(InvalidArgument, match="no job"):
                await jobs.result("bob", job.id, 0, False, until_ended)
            model.loaded.set()
            found = await jobs.result("ann", job.id, 30, False, until_ended)
            assert found.outcome is not None and found.outcome.value["answer"] == "A chart."
            later = await jobs.result("ann", job.id, 0, False, until_ended)
            assert later.outcome == found.outcome
            with pytest.raises(InvalidArgument, match="no job"):
                await jobs.result("bob", job.id, 0, False, until_ended)
            jobs.close()
            group.cancel_scope.cancel()


async def test_a_password_is_never_on_disk_and_a_job_begun_again_asks_for_it(tmp_path: Path) -> None:
    import pymupdf

    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "A secret plan.")
        document.save(tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="sesame-word")
    state = tmp_path / "state"
    settings, arguments = Settings(state_folder=state), {"source": "locked.pdf", "question": "What plan?"}
    model = SlowModel()
    with VisionService(settings, tmp_path, model.engine()) as service:
        async with anyio.create_task_group() as group:
            jobs = Jobs(service, group, tmp_path, None)
            job = jobs.begin(READ, {**arguments, "password": "sesame-word"}, "ann", no_roots)
            with anyio.fail_after(60):
                await model.waiting.wait()
            await jobs.accept(job)
            assert (await jobs.result("ann", job.id, 0, False, until_ended)).state == "working"
            assert not [path for path in state.iterdir() if b"sesame-word" in path.read_bytes()]
            group.cancel_scope.cancel()  # as when the server ends
        jobs.close()
    with VisionService(settings, tmp_path, ScriptedModel().engine()) as service:
        async with anyio.create_task_group() as group:
            jobs = Jobs(service, group, tmp_path, None)
            found = await jobs.result("ann", job.id, 60, False, until_ended)
            jobs.close()
            group.cancel_scope.cancel()
    assert found.outcome is not None and found.outcome.is_error
    error = found.outcome.value["error"]
    assert error["code"] == "password_required" and "call the tool again" in error["hint"]


class TaskResult(Result):
    result_type: Literal["task"] = "task"  # type: ignore[assignment]
    task_id: str
    status: str
    poll_interval_ms: int


class Tasks(ClientExtension):
    """Follows a task to its end, as a client of the extension does."""

    identifier = EXTENSION
    polled = 0

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskResult, resolve=self._resolve)]

    async def _resolve(self, task: TaskResult, context: ClaimContext) -> CallToolResult:
        with anyio.fail_after(120):
            while True:
                self.polled += 1
                found = await context.session.send_request(_Get(params=_Params(task_id=task.task_id)), _Found)
                if found.status != "working":
                    assert found.result is not None
                    return CallToolResult.model_validate(found.result, by_name=False)
                await anyio.sleep(task.poll_interval_ms / 1000)


class _Params(RequestParams):
    task_id: str


class _Get(Request[_Params, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: _Params


class _Found(Result):
    status: str
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


class _Answers(_Params):
    input_responses: dict[str, Any]


class _Update(Request[_Answers, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: _Answers


async def test_a_client_that_declares_tasks_gets_one_and_its_result(sample_files: Any, tmp_path: Path) -> None:
    settings = Settings(reply_within_s=0.2, engine="ocr", state_folder=tmp_path)
    tasks = Tasks()
    app = build_app(LazyService(settings, sample_files.report_scan.parent))
    async with Client(app, extensions=[tasks]) as client:
        result = await client.call_tool("read_document", {"source": "report-scan.pdf", "pages": "1"})
    assert tasks.polled and result.structured_content is not None
    assert result.structured_content["page_count"] == 3


class Ended(Tasks):
    """Has the work go on when it is a task, and asks until it has ended; `found` is how."""

    def __init__(self) -> None:
        self.go_on = anyio.Event()
        self.found: dict[str, Any] = {}

    async def _resolve(self, task: TaskResult, context: ClaimContext) -> CallToolResult:
        self.go_on.set()
        with anyio.fail_after(30):
            while self.found.get("status", "working") == "working":
                found = await context.session.send_request(_Get(params=_Params(task_id=task.task_id)), _Found)
                self.found = found.model_dump(exclude_none=True)
        return CallToolResult(content=[], is_error=True)


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("secret words"), "failed"), (InvalidArgument("no", "Ask again."), "completed")]
)
async def test_a_task_fails_where_the_server_does_and_is_completed_where_its_tool_says_no(
    error: Exception, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = Ended()

    async def run(*_: object) -> Any:
        await tasks.go_on.wait()
        raise error

    monkeypatch.setattr("mcp_server.calling.TOOLS", (replace(DESCRIBE, run=run),))
    app = build_app(LazyService(Settings(reply_within_s=0.05, state_folder=tmp_path), tmp_path))
    async with Client(app, extensions=[tasks]) as client:
        await client.call_tool(DESCRIBE.name, {"sources": ["chart.png"]})
    assert tasks.found["status"] == status and "secret" not in str(tasks.found)
    if status == "failed":
        assert "result" not in tasks.found and tasks.found["error"]["code"] == -32603
        assert "see its log" in tasks.found["error"]["message"]
    else:
        assert "error" not in tasks.found and tasks.found["result"]["isError"]


class Answering(Ended):
    """Answers what its tasks ask with `responses`, one after the other; `told`: what became of each."""

    def __init__(self, *responses: dict[str, Any]) -> None:
        super().__init__()
        self.responses, self.told, self.asked = responses, list[str](), list[Any]()

    async def _resolve(self, task: TaskResult, context: ClaimContext) -> CallToolResult:
        left = iter(self.responses)
        self.go_on.set()
        with anyio.fail_after(30):
            while self.found.get("status") in (None, "working", "input_required"):
                get = _Get(params=_Params(task_id=task.task_id))
                self.found = (await context.session.send_request(get, _Found)).model_dump(exclude_none=True)
                if self.found["status"] == "input_required":
                    self.asked.append(self.found["input_requests"])
                    update = _Update(params=_Answers(task_id=task.task_id, input_responses=next(left)))
                    try:
                        await context.session.send_request(update, Result)
                        self.told.append("taken")
                    except MCPError as error:
                        self.told.append(error.message)
        return CallToolResult(content=[], is_error=True)


async def test_a_task_that_needs_its_clients_roots_asks_for_them_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, wrong = {"another": {"roots": []}}, {"roots": {"roots": "none"}}
    tasks = Answering(other, wrong, {"roots": {"roots": [{"uri": tmp_path.as_uri()}]}})

    async def run(_: object, __: object, call: Call) -> ToolResult:
        await tasks.go_on.wait()
        return ToolResult(answer=str(await call.client_roots()), engine=EngineUsed(name="ocr", reason="for the test"))

    async def no_answer(_: object) -> ListRootsResult:
        raise AssertionError("asked otherwise than by the task")

    monkeypatch.setattr("mcp_server.calling.TOOLS", (replace(DESCRIBE, run=run),))
    app = build_app(LazyService(Settings(reply_within_s=0.05, state_folder=tmp_path), tmp_path))
    async with Client(app, extensions=[tasks], list_roots_callback=no_answer) as client:
        await client.call_tool(DESCRIBE.name, {"sources": ["chart.png"]})
    assert [ask["roots"]["method"] for ask in tasks.asked] == ["roots/list"] * 3
    assert tasks.told[0] == tasks.told[2] == "taken" and "not of the form" in tasks.told[1]
    assert tasks.found["status"] == "completed" and "input_requests" not in tasks.found
    assert str(tmp_path) in str(tasks.found["result"])


async def test_a_question_that_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.job_questions._WITHIN_S", 0.01)
    questions = Questions()
    assert await questions.ask({"roots": ListRootsRequest()}) == {} and not questions.open


async def test_of_several_questions_each_may_be_answered_alone() -> None:
    questions, answers = Questions(), dict[str, Any]()

    async def ask() -> None:
        answers.update(await questions.ask({"a": ListRootsRequest(), "b": ListRootsRequest()}))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            questions.answer({"a": {"roots": []}})
            await anyio.wait_all_tasks_blocked()
            assert list(questions.open) == ["b"] and not answers
            questions.answer({"a": {"roots": []}, "b": {"roots": []}})
    assert set(answers) == {"a", "b"} and not questions.open


async def test_a_task_is_answered_by_its_owner_alone(tmp_path: Path) -> None:
    with VisionService(Settings(state_folder=tmp_path), tmp_path, ScriptedModel().engine()) as service:
        async with anyio.create_task_group() as group:
            jobs, begun = Jobs(service, group, tmp_path, None), anyio.Event()

            async def run(*_: object) -> Any:
                begun.set()
                await job.questions.ask({"roots": ListRootsRequest()})
                await anyio.sleep_forever()

            job = jobs.begin(replace(DESCRIBE, run=run), {"sources": ["chart.png"]}, "ann", no_roots)
            with anyio.fail_after(30):
                await begun.wait()
            await jobs.accept(job)
            jobs.answer("bob", job.id, {"roots": {"roots": []}})
            assert list(job.found.asks) == ["roots"]
            jobs.answer("ann", job.id, {"roots": {"roots": []}})
            assert not job.found.asks
            group.cancel_scope.cancel()
        jobs.close()


async def test_without_the_extension_tasks_are_refused(sample_files: Any, tmp_path: Path) -> None:
    app = build_app(LazyService(Settings(state_folder=tmp_path), tmp_path))
    async with Client(app) as client:
        with pytest.raises(MCPError) as caught:
            await client.session.send_request(_Get(params=_Params(task_id="x")), _Found)
    assert caught.value.code == -32021
