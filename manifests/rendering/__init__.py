"""What plugins, bundles, extensions and registries read of this project: files made by scripts/render.

Each module has `rendered()`: files of one kind with their texts, made from manifests/descriptor.json, the version of
pyproject.toml and the tool list. Nothing here is used by the server.
"""

from pathlib import Path

from . import gemini, links, mcpb, npm, plugins, registry

_KINDS = (gemini, links, mcpb, npm, plugins, registry)


def rendered() -> dict[Path, str]:
    """Every file with its text."""
    return {path: text for kind in _KINDS for path, text in kind.rendered().items()}
