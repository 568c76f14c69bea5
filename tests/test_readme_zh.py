"""README.zh.md is README.md in Chinese: the same headings, commands, links and names, in the same order.

Where one is changed, the failing test says which place of the other is to follow.
"""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The English heading of each Chinese one.
HEADINGS = {
    "internvl-mcp": "internvl-mcp",
    "先试一试": "Try it",
    "安装": "Install",
    "在自己的硬件上运行 InternVL": "InternVL on your own hardware",
    "使用别人提供的模型服务": "A model that somebody serves",
    "一台服务器，团队共用": "One server for a team",
    "工具": "Tools",
    "它可以读什么": "What it may read",
    "设置": "Settings",
    "已知的限制": "Known limits",
    "更多": "More",
}
# What scripts/render writes: the table of all settings, which the Chinese page leaves to the English one, and links.
_RENDERED = re.compile(r"<!-- (settings|links): rendered.*?<!-- \1: end -->\n", re.DOTALL)
# What only one of the pages has to say.
ONLY_ENGLISH = {"README.zh.md"}
ONLY_CHINESE = {"README.md", "README.md#settings", "`internvl-mcp --help`"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Page:
    def __init__(self, name: str) -> None:
        self.text = _RENDERED.sub("", (ROOT / name).read_text(encoding="utf-8"))
        self.prose = _FENCE.sub("", self.text)

    def headings(self) -> list[tuple[int, str]]:
        return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", self.prose, re.MULTILINE)]

    def commands(self) -> list[tuple[str, str]]:
        """Each code block's language, and its lines without the comments, which are translated."""
        return [
            (language, "\n".join(re.sub(r"\s+# .*", "", line) for line in lines.splitlines()))
            for language, lines in _FENCE.findall(self.text)
        ]

    def sections(self) -> list[str]:
        """The prose under each heading, in order."""
        return re.split(r"^#+ .+$", self.prose, flags=re.MULTILINE)[1:]


ENGLISH, CHINESE = Page("README.md"), Page("README.zh.md")


def test_headings_are_the_same_in_the_same_order() -> None:
    theirs = [(level, HEADINGS.get(words, f"{words}, which HEADINGS lacks")) for level, words in CHINESE.headings()]
    for place, (english, chinese) in enumerate(zip_longest(ENGLISH.headings(), theirs), start=1):
        assert chinese == english, f"heading {place}: README.md has {english}, README.zh.md has {chinese}"


def test_commands_are_the_same_in_the_same_order() -> None:
    for place, (english, chinese) in enumerate(zip_longest(ENGLISH.commands(), CHINESE.commands()), start=1):
        assert chinese == english, f"code block {place}: README.md has {english}, README.zh.md has {chinese}"


@pytest.mark.parametrize("place", range(len(ENGLISH.headings())), ids=[words for _, words in ENGLISH.headings()])
def test_each_section_names_the_same_code_and_links(place: int) -> None:
    sections = CHINESE.sections()
    assert place < len(sections), "README.zh.md lacks this section"
    english, chinese = ENGLISH.sections()[place], sections[place]
    for what, pattern in (("code", r"`[^`\n]+`"), ("link", r"\]\(([^)]+)\)")):
        wanted, found = set(re.findall(pattern, english)), set(re.findall(pattern, chinese))
        missing = wanted - found - ONLY_ENGLISH
        assert not missing, f"{what} that README.md has in this section and README.zh.md has not: {sorted(missing)}"
        more = found - wanted - ONLY_CHINESE
        assert not more, f"{what} that README.zh.md has in this section and README.md has not: {sorted(more)}"


def test_each_section_has_as_many_points_and_the_same_numbers() -> None:
    for (_, heading), english, chinese in zip(ENGLISH.headings(), ENGLISH.sections(), CHINESE.sections(), strict=False):
        points = [len(re.findall(r"^(?:-|\d+\.) ", text, re.MULTILINE)) for text in (english, chinese)]
        assert points[0] == points[1], f"{heading}: README.md has {points[0]} points, README.zh.md has {points[1]}"
        missing = numbers(english) - numbers(chinese)
        assert not missing, f"{heading}: README.zh.md lacks the numbers {sorted(missing)}"


def numbers(section: str) -> set[str]:
    """Outside of tables."""
    return set(re.findall(r"\d[\d.,]*\d|\d", re.sub(r"^\|.*$", "", section, flags=re.MULTILINE)))


def test_the_tool_table_has_every_tool_with_its_parameters() -> None:
    row = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
    for english, chinese in zip_longest(row.findall(ENGLISH.text), row.findall(CHINESE.text)):
        assert chinese == english, f"README.md has the row {english}, README.zh.md at its place {chinese}"
    listed = json.loads((ROOT / "mcp_server" / "tool_list.json").read_text(encoding="utf-8"))
    assert [name for name, _ in row.findall(CHINESE.text)] == [tool["name"] for tool in listed]
