"""The tools over a scripted model: what they ask, and what becomes of the answer."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from mcp_server.running import run_tool
from tests.scripted_model import MODEL, NO_MODEL, PLAN, ScriptedModel, Waits, says, text_of
from tools.catalogue import TOOLS
from tools.paging import tokens_of
from vision.call import Call
from vision.chat.types import Ask, ImagePart, Stage
from vision.config import Settings
from vision.errors import InvalidArgument, ModelFailed, ModelLoading
from vision.service import VisionService

pytestmark = pytest.mark.anyio
DEAD = ModelFailed("the model host ended while it worked", "Call again.")


def pictures(ask: Ask) -> list[Image.Image]:
    parts = [part for message in ask.messages for part in message.parts]
    return [Image.open(io.BytesIO(part.data)) for part in parts if isinstance(part, ImagePart)]


@pytest.fixture(autouse=True)
def plain_pictures(sample_files: Any) -> None:
    """Pictures without any text."""
    folder = sample_files.report.parent
    gradient = Image.linear_gradient("L").resize((900, 700)).convert("RGB")
    gradient.save(folder / "plain.png")
    gradient.save(folder / "plain.pdf")
    gradient.save(folder / "plain.tiff", save_all=True, append_images=[gradient.rotate(180)])


async def test_a_picture_is_described_and_measured(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("A bar chart of 5 towns.")]
    result = await ask("describe_image", sources=["chart.png"])
    assert result.answer == "A bar chart of 5 towns."
    assert (result.engine.name, result.engine.variant) == ("internvl", PLAN.variant)
    assert (result.engine.revision, result.engine.quantisation) == (PLAN.revision, "none")
    assert result.engine.reason and result.used.tiles == 7 and result.conversation_id
    assert result.pictures[0].lines and result.pictures[0].measured.dominant_colors
    assert not any("needs an InternVL model" in notice for notice in result.notices)
    assert text_of(model.asked[0]) == "<image>\nPlease describe the image."


async def test_the_model_sees_the_picture_s_own_pixels(ask: Any, model: ScriptedModel, shared_service: Any) -> None:
    await ask("describe_image", sources=["chart.png"])
    (shown,) = pictures(model.asked[0])
    with Image.open(shared_service._cwd / "chart.png") as original:
        assert shown.convert("RGB").tobytes() == original.convert("RGB").tobytes()


async def test_the_model_sees_the_region_at_full_resolution(ask: Any, model: ScriptedModel) -> None:
    await ask("describe_image", sources=["chart.png"], region=[10, 20, 210, 120], question="What is it?")
    assert pictures(model.asked[0])[0].size == (200, 100)


async def test_several_pictures_are_compared_in_the_question_s_language(ask: Any, model: ScriptedModel) -> None:
    await ask("describe_image", sources=["plain.png", "chart.png"], question="有什么不同？", detail="full")
    assert text_of(model.asked[0]).startswith("Image-1: <image>\nImage-2: <image>\n有什么不同？\n如果")
    assert model.asked[0].max_tiles == 12


@pytest.mark.parametrize(("detail", "tiles"), [("brief", 6), ("normal", 12), ("full", 12)])
async def test_detail_decides_how_closely_the_model_looks(
    ask: Any, model: ScriptedModel, detail: str, tiles: int
) -> None:
    await ask("describe_image", sources=["plain.png"], detail=detail)
    assert model.asked[0].max_tiles == tiles


async def test_the_numbers_of_an_answer_are_looked_for_in_what_was_read(
    ask: Any, model: ScriptedModel, sample_maker: Any
) -> None:
    label, value = sample_maker.CHART.bars[0]
    model.scripts = [says(f"{label} has {value}, and another has 987654.")]
    result = await ask("describe_image", sources=["chart.png"])
    assert any(str(value) in evidence.text for evidence in result.evidence)
    assert result.unsupported == ("987654",)


async def test_a_picture_that_could_not_be_shown_is_named(ask: Any, model: ScriptedModel) -> None:
    result = await ask("describe_image", sources=["missing.png", "plain.png", "chart.png"])
    assert len(pictures(model.asked[0])) == 2
    assert any("Image-1 plain.png, Image-2 chart.png" in notice for notice in result.notices)


async def test_while_the_model_loads_what_was_read_comes_with_a_notice(
    model: ScriptedModel, shared_service: Any
) -> None:
    model.scripts = [(Stage(name="loading", done=2, total=5), Waits())]
    tool = next(tool for tool in TOOLS if tool.name == "describe_image")
    result: Any = await run_tool(shared_service, tool, {"sources": ["chart.png"]}, Call(within_s=3.0))
    assert result.answer is None and result.engine.name == "ocr" and result.conversation_id
    assert "still being loaded (40 %)" in result.notices[0]
    assert result.pictures[0].measured


async def test_a_model_that_must_answer_and_still_loads_is_an_error(ask: Any, shared_service: Any) -> None:
    scripted = ScriptedModel((Stage(name="loading", done=2, total=5), Waits()))
    before, shared_service._engine = shared_service._engine, scripted.engine(engine="internvl")
    tool = next(tool for tool in TOOLS if tool.name == "describe_image")
    try:
        with pytest.raises(ModelLoading):
            await run_tool(shared_service, tool, {"sources": ["plain.png"]}, Call(within_s=2.0))
    finally:
        shared_service._engine = before


async def test_a_model_that_dies_is_an_error_with_a_hint(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [(DEAD,)]
    with pytest.raises(ModelFailed) as caught:
        await ask("describe_image", sources=["plain.png"])
    assert caught.value.hint


async def test_a_long_answer_keeps_within_a_reply(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("word " * 2000)]
    result = await ask("describe_image", sources=["chart.png", "screenshot-en.png"], detail="full", tokens=2000)
    assert result.truncated and result.answer.startswith("word word")
    assert tokens_of(result) <= 2000


async def test_text_that_was_read_well_is_not_transcribed_again(ask: Any, model: ScriptedModel) -> None:
    result = await ask("extract_text", source="screenshot-en.png")
    assert result.lines and result.answer is None and not model.asked
    assert result.engine.name == "ocr" and "sufficed" in result.engine.reason


@pytest.mark.parametrize("source", ["plain.png", "plain.pdf"])
async def test_what_the_recogniser_cannot_read_the_model_transcribes(
    ask: Any, model: ScriptedModel, source: str
) -> None:
    model.scripts = [says("faint words")]
    result = await ask("extract_text", source=source)
    assert result.answer == "faint words" and result.engine.name == "internvl" and not result.lines
    assert any("what the model makes of it" in notice for notice in result.notices)


async def test_a_transcription_that_fails_is_a_notice(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [(DEAD,)]
    result = await ask("extract_text", source="plain.png")
    assert result.answer is None and result.engine.name == "ocr"
    assert any("ended while it worked" in notice for notice in result.notices)


async def test_a_question_about_a_document_is_answered_from_the_pages_that_fit(
    ask: Any, model: ScriptedModel, shared_service: Any
) -> None:
    few = MODEL.model_copy(update={"plan": PLAN.model_copy(update={"device": "cpu"})})
    model.choice = few
    model.scripts = [says("Market Quay, on page 2.")]
    result = await ask("read_document", source="report.pdf", question="What happens at Market Quay?")
    assert result.answer == "Market Quay, on page 2." and result.engine.name == "internvl"
    assert "The image is page 2 of a document." in text_of(model.asked[0])
    assert "Market Quay" in text_of(model.asked[0]).split("\n", 3)[3]
    (page,) = pictures(model.asked[0])
    assert max(page.size) > 1500
    assert any("page 2" in notice for notice in result.notices)
    assert result.markdown and [page.number for page in result.pages] == [1, 2, 3]


async def test_a_page_that_ocr_cannot_read_is_transcribed_and_marked(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("```markdown\n# Faint\n\nwords\n```"), says("Second")]
    result = await ask("read_document", source="plain.tiff")
    assert [page.source for page in result.pages] == ["model", "model"]
    assert "# Faint\n\nwords" in result.markdown and "Second" in result.markdown
    assert result.engine.name == "internvl" and "transcribed" in result.pages[0].reason


async def test_a_page_that_is_cut_is_left_as_ocr_read_it(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("# Faint", reason="length")]
    result = await ask("read_document", source="plain.pdf")
    assert result.pages[0].source == "ocr" and "Faint" not in result.markdown
    assert any("did not come to the end of page 1" in notice for notice in result.notices)


async def test_a_transcribed_page_is_followed_to_its_end(ask: Any, model: ScriptedModel) -> None:
    words = " ".join(f"word{n}" for n in range(900))
    parts, arguments = [], {}
    for _ in range(20):
        model.scripts = [says(words)]
        part = await ask("read_document", source="plain.pdf", format="json", tokens=2000, **arguments)
        parts += [page.markdown for page in part.pages]
        if part.next_cursor is None:
            break
        arguments = {"cursor": part.next_cursor}
    assert "".join(parts).split() == words.split()


async def test_one_decoder_suffices(sample_files: Any) -> None:
    """Pictures for the model are made when the decoder that read the pages is free again."""
    model = ScriptedModel(*[says("Yes.")] * 4)
    settings = Settings(decoders=1)
    with VisionService(settings, sample_files.report.parent, model.engine()) as service:
        for name, arguments in (
            ("read_document", {"source": "report.pdf", "question": "Is it?"}),
            ("extract_text", {"source": "plain.pdf"}),
            ("analyze_video", {"source": "video.mp4", "max_frames": 2}),
            ("locate_objects", {"source": "plain.pdf", "target": "a car"}),
        ):
            tool = next(tool for tool in TOOLS if tool.name == name)
            result = await run_tool(service, tool, arguments, Call(within_s=30.0))
            assert result.engine.name == "internvl", name


async def test_a_chart_is_asked_shortly(ask: Any, model: ScriptedModel, sample_maker: Any) -> None:
    label, value = sample_maker.CHART.bars[0]
    model.scripts = [says(str(value))]
    result = await ask("answer_chart", source="chart.png", question=f"How much has {label}?")
    assert result.answer == str(value) and result.readings and result.evidence
    assert text_of(model.asked[0]).endswith("Answer the question using a single word or phrase.")


async def test_a_chart_s_table_is_the_model_s(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("| town | people |\n|---|---|\n| Aa | 1,200 |\n| Bb | 3.5 |")]
    result = await ask("answer_chart", source="plain.png", output="table")
    assert result.table.columns == ("town", "people")
    assert result.table.rows == (("Aa", 1200.0), ("Bb", 3.5))
    assert result.answer is None and result.engine.name == "internvl"
    assert "1200.0" in result.unsupported or "1200" in result.unsupported


async def test_a_table_that_cannot_be_read_leaves_the_printed_numbers(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("It rises.")]
    result = await ask("answer_chart", source="chart.png", output="table")
    assert result.table.columns[0] == "value" and result.table.rows
    assert any("no table" in notice for notice in result.notices)


async def test_a_question_and_a_table_are_both_asked(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("town,people\nAa,1\nBb,2"), says("Bb")]
    result = await ask("answer_chart", source="plain.png", output="table", question="Who has most?")
    assert result.answer == "Bb" and result.table.rows == (("Aa", 1.0), ("Bb", 2.0))


async def test_frames_of_a_video_are_shown_with_their_times(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("A title, then a screen.")]
    result = await ask("analyze_video", source="video.mp4", question="What happens?", max_frames=4)
    assert result.answer == "A title, then a screen." and result.timeline
    shown = pictures(model.asked[0])
    assert 2 <= len(shown) <= 4 and model.asked[0].max_tiles == 1
    assert text_of(model.asked[0]).startswith("Frame1: <image>\nFrame2: <image>\n")
    assert len(result.used.frames_s) >= len(shown)


async def test_what_is_no_text_is_found_by_the_model(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("<ref>the red car</ref><box>[[100, 200, 300, 400], [5, 5, 5, 5]]</box>")]
    result = await ask("locate_objects", source="plain.png", target="the red car")
    (found,) = result.objects
    assert (found.label, found.box, found.confidence) == ("the red car", (90, 140, 270, 280), None)
    assert result.answer is None and result.engine.name == "internvl"
    assert any(notice.startswith("1 places") for notice in result.notices)


async def test_a_point_of_a_region_lies_in_the_original(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("[[0, 0, 1000, 1000]]")]
    result = await ask("locate_objects", source="plain.png", target="it", kind="point", region=[100, 100, 300, 200])
    assert result.objects[0].point == (200, 150)


async def test_text_is_found_without_asking_the_model(ask: Any, model: ScriptedModel, sample_maker: Any) -> None:
    result = await ask("locate_objects", source="screenshot-en.png", target=sample_maker.SCREEN_EN.button)
    assert result.objects and not model.asked and result.engine.name == "ocr"


async def test_a_model_that_names_no_place_gives_its_words(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("There is no car.")]
    result = await ask("locate_objects", source="plain.png", target="the red car")
    assert not result.objects and result.answer == "There is no car."


async def test_a_conversation_goes_on_with_the_same_pictures(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("A gradient."), says("Grey."), says("Smooth.")]
    first = await ask("describe_image", sources=["plain.png"], detail="brief")
    second = await ask("ask_followup", conversation_id=first.conversation_id, question="What colour?")
    third = await ask("ask_followup", conversation_id=second.conversation_id, question="What texture?")
    assert (second.answer, third.answer, third.turn) == ("Grey.", "Smooth.", 3)
    assert second.sources == first.sources and second.conversation_id == first.conversation_id
    before, after = model.asked[0].messages, model.asked[2].messages
    assert after[: len(before)] == before
    assert [message.role for message in after[1:]] == ["user", "assistant", "user", "assistant", "user"]
    assert model.asked[2].max_tiles == model.asked[0].max_tiles == 6


async def test_a_follow_up_without_an_answer_can_be_asked_again(ask: Any, model: ScriptedModel) -> None:
    model.scripts = [says("A gradient."), says(""), says("Grey.")]
    first = await ask("describe_image", sources=["plain.png"])
    failed = await ask("ask_followup", conversation_id=first.conversation_id, question="What colour?")
    again = await ask("ask_followup", conversation_id=failed.conversation_id, question="What colour?")
    assert failed.answer is None and again.answer == "Grey." and again.turn == 2


async def test_an_unknown_conversation_is_one_clear_error(ask: Any, model: ScriptedModel) -> None:
    with pytest.raises(InvalidArgument, match="no conversation") as caught:
        await ask("ask_followup", conversation_id="nothing", question="What?")
    assert "Ask about the pictures again" in caught.value.hint


async def test_without_a_model_the_reason_and_the_next_command_are_told(ask: Any) -> None:
    for name, arguments in (
        ("describe_image", {"sources": ["chart.png"]}),
        ("read_document", {"source": "report.pdf", "pages": "1", "question": "What?"}),
        ("answer_chart", {"source": "chart.png", "question": "What?"}),
        ("locate_objects", {"source": "chart.png", "target": "a car"}),
    ):
        result = await ask(name, **arguments)
        assert any(NO_MODEL.advice in notice for notice in result.notices), name
        assert NO_MODEL.reason in result.engine.reason


async def test_managing_the_model(ask: Any, model: ScriptedModel) -> None:
    loaded = await ask("manage_model", action="preload")
    assert [each.variant for each in loaded.models] == [PLAN.variant] and PLAN.variant in loaded.notices[0]
    assert {engine.name: engine.ready for engine in loaded.engines} == {"ocr": True, "internvl": True}
    ended = await ask("manage_model", action="unload", variant="3.5-8b")
    assert ended.models == () and PLAN.variant in ended.notices[0]
    planned = await ask("manage_model", action="plan", variant="3.5-2B")
    assert planned.plan.variant == "InternVL3.5-2B"
    fetched = await ask("manage_model", action="download")
    assert [each.repository for each in fetched.downloads] == [PLAN.repository]
    assert "internvl-mcp pull" in fetched.notices[0]


async def test_a_variant_that_is_not_in_the_catalogue_is_one_clear_error(ask: Any, model: ScriptedModel) -> None:
    for action in ("plan", "preload", "unload", "download"):
        with pytest.raises(Exception) as caught:
            await ask("manage_model", action=action, variant="/etc/passwd")
        assert caught.value.code == "unknown_variant"  # type: ignore[attr-defined]
