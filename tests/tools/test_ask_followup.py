"""Conversations that go on without a model, with one that came since, and in another server's process."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest

from mcp_server.running import run_tool
from tests.scripted_model import MODEL, NO_MODEL, ScriptedModel, says
from tools.catalogue import TOOLS
from vision.call import Call
from vision.chat.types import ImagePart
from vision.config import Settings
from vision.errors import AccessDenied, InvalidArgument, PasswordRequired, SourceNotFound, SourceUnreadable
from vision.service import VisionService

pytestmark = pytest.mark.anyio
SEEING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("describe_image", {"sources": ["chart.png"], "detail": "brief"}),
    ("extract_text", {"source": "chart.png"}),
    ("read_document", {"source": "report.pdf", "pages": "2"}),
    ("answer_chart", {"source": "chart.png"}),
    ("analyze_video", {"source": "video.mp4", "max_frames": 2}),
    ("locate_objects", {"source": "chart.png", "target": "nothing like it"}),
)
NAMES = [name for name, _ in SEEING]


def written(folder: Path) -> list[bytes]:
    """The state folder's files."""
    return [path.read_bytes() for path in (folder / "state").iterdir()]


async def ask(service: VisionService, tool: str, **arguments: Any) -> Any:
    found = next(each for each in TOOLS if each.name == tool)
    return await run_tool(service, found, arguments, Call(within_s=240.0))


def with_small_replies(service: VisionService) -> VisionService:
    service.settings = service.settings.model_copy(update={"max_reply_tokens": 800})
    return service


@pytest.fixture(scope="module")
def ocr(sample_files: Any) -> Iterator[VisionService]:
    """A server without a model."""
    folder = sample_files.report.parent
    with VisionService(Settings(), folder, ScriptedModel(choice=NO_MODEL).engine()) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., VisionService]]:
    """Servers that share their state folder, each with a model of its own or none."""
    made: list[VisionService] = []

    def make(folder: Path, model: ScriptedModel | None = None, **settings: Any) -> VisionService:
        values = Settings.model_validate({"state_folder": tmp_path / "state", **settings})
        made.append(VisionService(values, folder, (model or ScriptedModel(choice=NO_MODEL)).engine()))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.mark.parametrize(("tool", "arguments"), SEEING, ids=NAMES)
async def test_without_a_model_every_result_can_be_asked_about_and_the_same_tool_looks_again(
    ocr: VisionService, tool: str, arguments: dict[str, Any]
) -> None:
    first = await ask(ocr, tool, **arguments)
    assert first.conversation_id is not None and first.answer is None
    again = await ask(ocr, "ask_followup", conversation_id=first.conversation_id, question="What is it?")
    third = await ask(ocr, "ask_followup", conversation_id=again.conversation_id, question="And why?")
    assert (again.turn, third.turn) == (2, 3)
    assert again.conversation_id == third.conversation_id == first.conversation_id
    assert again.answer is None and again.engine.name == "ocr" and again.sources == first.sources
    # What read_document finds for a question's words comes with a question alone.
    own = set(type(first).model_fields) - set(type(again).model_fields) - {"passages", "search"}
    seen, before = again.model_dump(mode="json"), first.model_dump(mode="json")
    assert own and all(seen[name] == before[name] for name in own)
    assert any(NO_MODEL.advice in notice for notice in again.notices)


async def test_a_follow_up_of_locate_objects_looks_for_the_text(ocr: VisionService, sample_maker: Any) -> None:
    first = await ask(ocr, "locate_objects", source="screenshot-en.png", target="nothing like it")
    button = sample_maker.SCREEN_EN.button
    found = await ask(ocr, "ask_followup", conversation_id=first.conversation_id, question=button)
    assert not first.objects and found.model_dump()["objects"][0]["label"] == button
    with pytest.raises(InvalidArgument, match="501 characters"):
        await ask(ocr, "ask_followup", conversation_id=first.conversation_id, question="x" * 501)


async def test_managing_the_model_begins_no_conversation(ocr: VisionService) -> None:
    assert (await ask(ocr, "manage_model")).conversation_id is None


@pytest.mark.parametrize(("tool", "arguments"), SEEING, ids=NAMES)
async def test_a_model_that_came_since_answers_and_goes_on(
    ocr: VisionService, tool: str, arguments: dict[str, Any]
) -> None:
    first = await ask(ocr, tool, **arguments)
    before, model = ocr._engine, ScriptedModel(says("A chart."), says("Because."))
    ocr._engine = model.engine()
    try:
        again = await ask(ocr, "ask_followup", conversation_id=first.conversation_id, question="What is it?")
        third = await ask(ocr, "ask_followup", conversation_id=first.conversation_id, question="And why?")
    finally:
        ocr._engine = before
    assert (again.answer, again.engine.name, again.turn) == ("A chart.", "internvl", 2)
    assert (third.answer, third.turn, third.sources) == ("Because.", 3, first.sources)
    assert len(model.asked[1].messages) == len(model.asked[0].messages) + 2
    assert any("What is it?" in getattr(part, "text", "") for part in model.asked[0].messages[-1].parts)


@pytest.mark.parametrize("tool", ["extract_text", "read_document"])
async def test_what_a_cursor_remembers_is_known_when_its_reply_is_asked_about(
    server: Callable[..., VisionService], sample_files: Any, tool: str
) -> None:
    folder = sample_files.report.parent
    small = with_small_replies(server(folder))
    first = await ask(small, tool, source="report.pdf", pages="2-3")
    assert first.next_cursor is not None
    second = await ask(small, tool, source="report.pdf", cursor=first.next_cursor)
    model = ScriptedModel(says("It grew."))
    there = server(folder, model)
    answered = await ask(there, "ask_followup", conversation_id=second.conversation_id, question="How?")
    assert answered.answer == "It grew." and answered.used.pages and not set(answered.used.pages) - {2, 3}


async def test_a_region_that_a_cursor_remembers_is_what_is_shown(
    server: Callable[..., VisionService], sample_files: Any
) -> None:
    folder, region = sample_files.report.parent, [0, 0, 900, 700]
    small = with_small_replies(server(folder))
    first = await ask(small, "extract_text", source="screenshot-en.png", region=region)
    assert first.next_cursor is not None
    second = await ask(small, "extract_text", source="screenshot-en.png", cursor=first.next_cursor)
    there = server(folder, ScriptedModel(says("A button.")))
    answered = await ask(there, "ask_followup", conversation_id=second.conversation_id, question="What?")
    assert answered.answer == "A button." and answered.used.region == tuple(region)


@pytest.mark.parametrize("table", ["town,people\nAa,1\nBb,2", "<think>Which"], ids=["a table", "thoughts"])
async def test_a_table_and_an_answer_are_one_conversation(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, table: str
) -> None:
    model = ScriptedModel(says(table), says("Bb"), says("Two."))
    service = server(sample_files.report.parent, model)
    began = await ask(service, "answer_chart", source="chart.png", output="table", question="Who has most?")
    went_on = await ask(service, "ask_followup", conversation_id=began.conversation_id, question="How many?")
    assert (went_on.answer, went_on.turn) == ("Two.", 2)
    assert [message.role for message in model.asked[-1].messages[1:]] == ["user", "assistant", "user"]
    with sqlite3.connect(next((tmp_path / "state").glob("*.sqlite3"))) as connection:
        assert connection.execute("SELECT id FROM conversations").fetchall() == [(began.conversation_id,)]
    connection.close()


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
async def test_of_two_follow_ups_at_the_same_time_one_goes_on_on_its_own(
    server: Callable[..., VisionService], sample_files: Any, modelled: bool
) -> None:
    service = server(sample_files.report.parent, ScriptedModel() if modelled else None)
    began = await ask(service, "answer_chart", source="chart.png")
    replies: list[Any] = []

    async def follow_up() -> None:
        replies.append(await ask(service, "ask_followup", conversation_id=began.conversation_id, question="And?"))

    async with anyio.create_task_group() as group:
        group.start_soon(follow_up)
        group.start_soon(follow_up)
    first, second = replies
    assert first.conversation_id == began.conversation_id != second.conversation_id
    assert not any("Another question" in notice for notice in first.notices)
    assert any("Another question" in notice for notice in second.notices)
    for reply in replies:
        assert reply.turn == 2
        third = await ask(service, "ask_followup", conversation_id=reply.conversation_id, question="And?")
        assert (third.turn, third.conversation_id) == (3, reply.conversation_id)


async def test_a_result_for_which_the_model_was_not_asked_can_be_asked_about(
    server: Callable[..., VisionService], sample_files: Any
) -> None:
    service = server(sample_files.report.parent, ScriptedModel(says("It grew.")))
    first = await ask(service, "read_document", source="report.pdf", pages="1")
    assert first.engine.name == "ocr" and "not asked" in first.engine.reason
    assert (await ask(service, "ask_followup", conversation_id=first.conversation_id, question="How?")).answer


async def test_a_model_that_is_gone_leaves_its_turns_for_when_it_is_back(
    server: Callable[..., VisionService], sample_files: Any
) -> None:
    model = ScriptedModel(says("A chart."), says("Blue."))
    service = server(sample_files.report.parent, model)
    first = await ask(service, "answer_chart", source="chart.png", question="What?")
    model.choice = NO_MODEL
    service.engine.forget_choice()
    without = await ask(service, "ask_followup", conversation_id=first.conversation_id, question="Which colour?")
    assert without.answer is None and without.engine.name == "ocr" and without.model_dump()["readings"]
    model.choice = MODEL
    service.engine.forget_choice()
    back = await ask(service, "ask_followup", conversation_id=first.conversation_id, question="Which colour?")
    assert (back.answer, back.turn) == ("Blue.", 3)
    assert [message.role for message in model.asked[-1].messages[1:]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("describe_image", {"sources": ["chart.png", "screenshot-en.png"], "region": [10, 10, 200, 200]}),
        ("read_document", {"source": "report.pdf", "question": "What?"}),
        ("analyze_video", {"source": "video.mp4", "max_frames": 4, "start": 0.5}),
    ],
    ids=["pictures", "pages", "frames"],
)
async def test_another_server_takes_the_same_pictures_again_instead_of_keeping_them(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    folder = sample_files.report.parent
    first, second = ScriptedModel(says("One.")), ScriptedModel(says("Two."))
    began = await ask(server(folder, first), tool, **arguments)
    assert sum(map(len, written(tmp_path))) < 200_000
    there = server(tmp_path, second, roots=(folder,))
    went_on = await ask(there, "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert (went_on.answer, went_on.turn, went_on.sources) == ("Two.", 2, began.sources)
    seen = [part.data for part in first.asked[0].messages[-1].parts if isinstance(part, ImagePart)]
    again = [part.data for part in second.asked[0].messages[1].parts if isinstance(part, ImagePart)]
    assert seen == again and all(seen)
    assert went_on.conversation_id == began.conversation_id


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
async def test_another_server_may_not_read_what_its_policy_forbids(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, modelled: bool
) -> None:
    def model() -> ScriptedModel | None:
        return ScriptedModel() if modelled else None

    began = await ask(server(sample_files.report.parent, model()), "describe_image", sources=["chart.png"])
    with pytest.raises(AccessDenied):
        await ask(server(tmp_path, model()), "ask_followup", conversation_id=began.conversation_id, question="And?")


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
@pytest.mark.parametrize("sources", [["picture.png"], ["other.png", "picture.png"]], ids=["one", "two"])
async def test_a_file_that_has_changed_is_one_clear_error(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, modelled: bool, sources: list[str]
) -> None:
    # The one is told by its size, the other, as long as it was, by what is in it.
    other = b"no picture at all"
    written_over = other if len(sources) == 1 else other.ljust(sample_files.chart.stat().st_size)

    def model() -> ScriptedModel | None:
        return ScriptedModel() if modelled else None

    picture = tmp_path / "picture.png"
    picture.write_bytes(sample_files.chart.read_bytes())
    (tmp_path / "other.png").write_bytes(sample_files.chart.read_bytes())
    began = await ask(server(tmp_path, model()), "describe_image", sources=sources)
    picture.write_bytes(written_over)
    with pytest.raises(SourceUnreadable, match=r"picture\.png has changed") as caught:
        await ask(server(tmp_path, model()), "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert "new conversation_id" in caught.value.hint


async def test_a_file_of_another_size_is_not_read_to_its_end_to_tell_that_it_has_changed(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(sample_files.chart.read_bytes())
    service = server(tmp_path)
    began = await ask(service, "extract_text", source="picture.png")
    with picture.open("r+b") as file:
        file.truncate(1 << 34)
    monkeypatch.delattr("vision.access.opened._hash_slice")
    with pytest.raises(SourceUnreadable, match="has changed"):
        await ask(service, "ask_followup", conversation_id=began.conversation_id, question="And?")


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
async def test_a_data_uri_is_kept(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, modelled: bool
) -> None:
    uri = f"data:image/png;base64,{base64.b64encode(sample_files.chart.read_bytes()).decode()}"
    began = await ask(server(tmp_path, ScriptedModel() if modelled else None), "describe_image", sources=[uri])
    model = ScriptedModel(says("Two."))
    went_on = await ask(server(tmp_path, model), "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert went_on.answer == "Two." and went_on.sources == began.sources
    assert any(isinstance(part, ImagePart) and part.data for part in model.asked[0].messages[1].parts)


async def test_the_clipboard_s_picture_is_kept_whatever_is_on_it_later(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_it = [sample_files.chart.read_bytes()]

    async def read(*_: Any) -> bytes:
        return on_it[0]

    monkeypatch.setattr("vision.access.opened.read_clipboard", read)
    began = await ask(server(tmp_path), "extract_text", source="clipboard")
    on_it[0] = (sample_files.chart.parent / "screenshot-en.png").read_bytes()
    again = await ask(server(tmp_path), "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert again.model_dump()["text"] == began.text and again.sources == began.sources


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
async def test_a_source_of_several_that_cannot_be_meant_leaves_the_others_to_be_asked_about(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, modelled: bool
) -> None:
    def model() -> ScriptedModel | None:
        return ScriptedModel(says("Yes.")) if modelled else None

    (tmp_path / "a.png").write_bytes(sample_files.chart.read_bytes())
    service = server(tmp_path, model())
    began = await ask(service, "describe_image", sources=["a.png", "ftp://x/b.png"])
    for there in (service, server(tmp_path, model())):
        again = await ask(there, "ask_followup", conversation_id=began.conversation_id, question="And?")
        assert again.sources == began.sources and (again.answer is not None) == modelled


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
async def test_a_file_beside_the_clipboard_that_has_changed_is_one_clear_error(
    server: Callable[..., VisionService],
    sample_files: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    modelled: bool,
) -> None:
    async def read(*_: Any) -> bytes:
        return sample_files.chart.read_bytes()

    def model() -> ScriptedModel | None:
        return ScriptedModel() if modelled else None

    monkeypatch.setattr("vision.access.opened.read_clipboard", read)
    (tmp_path / "a.png").write_bytes(sample_files.chart.read_bytes())
    began = await ask(server(tmp_path, model()), "describe_image", sources=["clipboard", "a.png"])
    (tmp_path / "a.png").write_bytes((sample_files.chart.parent / "screenshot-en.png").read_bytes())
    with pytest.raises(SourceUnreadable, match=r"a\.png has changed"):
        await ask(server(tmp_path, model()), "ask_followup", conversation_id=began.conversation_id, question="And?")


async def test_two_addresses_that_are_shown_alike_are_kept_apart(
    server: Callable[..., VisionService], sample_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, found = (f"https://pictures.example/show?picture={number}" for number in (1, 2))
    there = {found: sample_files.chart}

    async def fetch(url: str, *_: Any) -> BinaryIO:
        if url not in there:
            raise SourceNotFound("There is no such picture.", "Look at the address.")
        return there[url].open("rb")

    monkeypatch.setattr("vision.access.fetch.fetch", fetch)
    service = server(tmp_path)
    began = await ask(service, "describe_image", sources=[gone, found])
    there[gone] = sample_files.chart.parent / "screenshot-en.png"
    again = await ask(service, "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert again.sources[-1:] == began.sources
    there[found] = there[gone]
    with pytest.raises(SourceUnreadable, match="has changed"):
        await ask(service, "ask_followup", conversation_id=began.conversation_id, question="And?")


async def test_a_page_behind_a_password_is_kept_and_its_password_is_not(
    server: Callable[..., VisionService], tmp_path: Path
) -> None:
    import pymupdf

    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "A secret plan.")
        document.save(
            tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="sesame-word", owner_pw="other"
        )
    asked = {"source": "locked.pdf", "password": "sesame-word", "question": "What plan?"}
    began = await ask(server(tmp_path, ScriptedModel()), "read_document", **asked)
    model = ScriptedModel(says("Two."))
    went_on = await ask(server(tmp_path, model), "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert went_on.answer == "Two."
    with pytest.raises(PasswordRequired) as caught:
        await ask(server(tmp_path), "ask_followup", conversation_id=began.conversation_id, question="And?")
    assert "read_document" in caught.value.hint
    assert not [data for data in written(tmp_path) if b"sesame-word" in data]
