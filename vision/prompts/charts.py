"""Charts: a short answer, as in the reference's ChartQA evaluation, or the data as a table."""

from __future__ import annotations

from vision.chat.types import ImagePart
from vision.prompts.language import Words
from vision.prompts.prompt import Prompt, pictures_then, user

# As the reference's ChartQA evaluation.
TILES = 12
# The reference's wording for ChartQA; its Chinese counterpart is of the same training set.
_SHORT = Words("Answer the question using a single word or phrase.", "请用单个词或短语回答问题。")
_SUMMARY = (
    "What does this chart show? Name its kind, what its axes mean, the largest and the smallest value, and the trend."
)
_TABLE = Words(
    "Please convert the chart to a Markdown table of its data: one row for each category, one column for each series. "
    "Give only the table.",
    "请将图表中的数据转换为Markdown表格：每个类别一行，每个系列一列。只输出表格。",
)


def ask_chart(picture: ImagePart, question: str | None, max_tiles: int) -> Prompt:
    text = f"{question}\n{_SHORT.for_question(question)}" if question else _SUMMARY
    return Prompt(user(pictures_then(text, [picture])), max_tiles)


def chart_table(picture: ImagePart, question: str | None, max_tiles: int) -> Prompt:
    return Prompt(user(pictures_then(_TABLE.for_question(question), [picture])), max_tiles)
