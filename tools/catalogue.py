"""The tools, in the order in which they are listed."""

from __future__ import annotations

from tools import (
    analyze_video,
    answer_chart,
    ask_followup,
    describe_image,
    extract_data,
    extract_text,
    get_result,
    locate_objects,
    manage_model,
    read_document,
)
from tools.tool import Tool

TOOLS: tuple[Tool, ...] = (
    describe_image.TOOL,
    extract_text.TOOL,
    read_document.TOOL,
    answer_chart.TOOL,
    analyze_video.TOOL,
    locate_objects.TOOL,
    extract_data.TOOL,
    ask_followup.TOOL,
    get_result.TOOL,
    manage_model.TOOL,
)
