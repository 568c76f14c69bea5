"""How a deployment file is written: its comment, what people type, and what every form of it holds."""

from typing import Any

import yaml

from .descriptor import SERVER, Secret, Target

CACHE = "/models"


def new_key(secret: Secret) -> str:
    """A line that makes a key; a line's end in the file would be part of the key in Kubernetes."""
    return f"  (umask 077; openssl rand -hex 32 | tr -d '\\n' > {secret.key})"


def ours(host: str, key_file: str) -> str:
    """The command of an agent's MCP server."""
    return f"internvl-mcp --engine remote --endpoint {host}:{SERVER.port}/v1 --endpoint-key-file {key_file}"


def environment() -> dict[str, str]:
    return {"HF_HOME": CACHE, "VLLM_NO_USAGE_STATS": "1"}


def asked(address: str) -> list[str]:
    """A command that fails where nothing well answers at the address."""
    return ["python3", "-c", f"from urllib.request import urlopen; urlopen('{address}', timeout=5)"]


def gpus(target: Target) -> str:
    return f"{target.gpus} {target.gpu}" if target.gpus > 1 else f"one {target.gpu}"


def text(comment: list[str], documents: list[dict[str, Any]]) -> str:
    lines = ["Made by scripts/render from descriptor.json.", *comment]
    head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return head + yaml.dump_all(documents, Dumper=Indented, sort_keys=False, width=120)


class Indented(yaml.SafeDumper):
    """Lists stand deeper than their key, and no anchors: a part that occurs twice is written twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A script of several lines is written as it is."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


Indented.add_representer(str, Indented.represent_str)
