"""Every setting, with its default and what it does. Values only: `mcp_server.settings` reads them from flags,
environment and file, and nothing else in the project looks at the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from vision.types import Frozen

MIB = 1 << 20
_ADDRESS_FORM = "write it as http://host:port/v1"


def _address(url: str) -> str:
    """A base address as OpenAI's clients take it; without a path it gets /v1, where every such server has its API."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise ValueError(_ADDRESS_FORM) from e
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError(_ADDRESS_FORM)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a key does not belong into an address: use INTERNVL_MCP_ENDPOINT_KEY or endpoint_key_file")
    return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"


Address = Annotated[str, AfterValidator(_address)]


def _http_address(url: str) -> str:
    """An address that is compared as it stands, so nothing is added to it or taken away."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise ValueError("write it as https://host/path") from e
    named = parts.hostname and parts.username is None and parts.password is None and port != 0
    if parts.scheme not in ("http", "https") or not named or parts.fragment:
        raise ValueError("write it as https://host/path")
    return url


HttpAddress = Annotated[str, AfterValidator(_http_address)]


class Settings(Frozen):
    """What a user may change. Sizes in bytes unless the name says otherwise, times in seconds."""

    # A value that is wrong may be a key in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    roots: tuple[Path, ...] = Field(
        default=(), description="Folders whose files may be read, beside the working directory and the client's roots."
    )
    use_working_directory: bool = Field(
        default=True, description="Whether files under the folder the server was started in may be read."
    )
    use_client_roots: bool = Field(
        default=True, description="Whether files under the roots that the client declares may be read."
    )
    use_clipboard: bool = Field(
        default=True, description="Whether the picture on this machine's clipboard may be read; never over HTTP."
    )
    allow_http: bool = Field(default=False, description="Whether plain http:// addresses may be fetched.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that may be fetched although they resolve to private or loopback addresses.",
    )
    max_bytes: int = Field(
        default=256 * MIB, ge=1, description="Largest download, picture or document; local video is not bound by it."
    )
    max_pixels: int = Field(
        default=50_000_000, ge=1, description="Largest picture or video frame, in pixels (width times height)."
    )
    max_pages: int = Field(default=5_000, ge=1, description="Longest document that is opened, in pages.")
    max_frames: int = Field(default=64, ge=1, le=512, description="Most frames of a video looked at in one call.")
    fetch_timeout_s: float = Field(default=30.0, gt=0, description="Time for fetching one address, redirects included.")
    decode_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest time a decoder may spend between two results before it is ended."
    )
    decoder_memory_mb: int = Field(
        default=600, ge=300, description="Resident memory (MiB) at which a decoder process is ended."
    )
    decoders: int = Field(default=2, ge=1, le=16, description="Decoder processes that may run side by side.")
    readers: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Text recognisers that may run side by side, on pages of one scan too; each takes up to 0.8 GB.",
    )
    ocr_threads: int = Field(default=0, ge=0, description="Threads of the text recogniser; 0 takes every core.")
    reply_within_s: float = Field(
        default=45.0,
        gt=0,
        description="A call replies within this time: with its result, or with a job_id for get_result to fetch it.",
    )
    job_within_s: float = Field(
        default=3_600.0, gt=0, description="A call's work ends after this time, with what it has by then."
    )
    state_folder: Path | None = Field(
        default=None,
        description="Folder for what outlives a restart: jobs, results, conversations; none: the user's state folder.",
    )
    keep_results_h: float = Field(
        default=24.0, gt=0, description="Hours for which jobs, results and conversations are kept since they changed."
    )
    max_reply_tokens: int = Field(
        default=8_000, ge=2_000, description="Estimated tokens a reply may hold; next_cursor fetches the rest."
    )
    idle_unload_s: float = Field(
        default=300.0,
        gt=0,
        description="Decoders, recognisers and the model end after being idle this long; their memory comes back.",
    )
    engine: Literal["auto", "internvl", "remote", "vllm", "lmdeploy", "llama.cpp", "ocr"] = Field(
        default="auto",
        description="auto: the endpoints if any are set, else InternVL where it is set up, else the embedded engine "
        "(ocr); internvl, remote, and vllm, lmdeploy or llama.cpp, which is started when it is needed: an error where "
        "it cannot be had.",
    )
    gguf_folder: Path | None = Field(
        default=None,
        description="Folder with the GGUF files for engine llama.cpp, as InternVL3-8B-Q8_0.gguf and "
        "mmproj-InternVL3-8B-F16.gguf; `internvl-mcp plan --serve llama.cpp` tells how they are made.",
    )
    endpoints: tuple[Address, ...] = Field(
        default=(),
        description="Addresses of a model that somebody serves as OpenAI does (vLLM, SGLang, LMDeploy, llama.cpp), "
        "such as http://gpu:8000/v1; several take turns.",
    )
    endpoint_model: str | None = Field(
        default=None,
        description="The model's name there; none: the only one, or the one whose name is an InternVL's.",
    )
    endpoint_key_file: Path | None = Field(
        default=None, description="File that holds the key for the endpoints (or INTERNVL_MCP_ENDPOINT_KEY itself)."
    )
    endpoint_key: SecretStr | None = Field(
        default=None,
        description="The key for the endpoints: from the environment or endpoint_key_file only.",
    )
    fallback: bool = Field(
        default=False,
        description="Whether the embedded engine may answer, with a notice, when the model or its server fails; "
        "no: that is an error.",
    )
    variant: str | None = Field(
        default=None,
        description="The InternVL model by its catalogue name, or a checkpoint's folder; none: the best that fits.",
    )
    policy: Literal["quality", "balanced", "speed"] = Field(
        default="balanced", description="What the choice of a model weighs more: its answers or its speed."
    )
    quantisation: Literal["auto", "none", "int8", "nf4"] = Field(
        default="auto", description="How the model's weights may be made smaller; auto: only where it helps."
    )
    memory_fraction: float = Field(
        default=0.9, gt=0, le=1, description="Share of the free device memory that the model may take."
    )
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = Field(
        default="auto", description="What the model runs on; auto: the best device that is there."
    )
    max_tiles: int = Field(
        default=12, ge=1, le=100, description="Tiles of 448 pixels that a picture is cut into at most, for the model."
    )
    thinking: bool = Field(
        default=False,
        description="Whether the model reasons before it answers (InternVL3.5): slower, for hard questions.",
    )
    max_answer_tokens: int = Field(default=1024, ge=1, le=32_768, description="Longest answer of the model, in tokens.")
    http_host: str = Field(
        default="127.0.0.1", description="Address that `serve --http` listens on; other than loopback it needs tokens."
    )
    http_port: int = Field(default=8000, ge=0, le=65_535, description="Port that `serve --http` listens on; 0: any.")
    http_url: HttpAddress | None = Field(
        default=None,
        description="Address that clients use over HTTP, where it is not the one listened on, such as "
        "https://vision.example.org/mcp.",
    )
    http_stateless: bool = Field(
        default=False, description="Whether sessions are done without over HTTP, so that several servers can share."
    )
    http_allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names that clients may use for this server over HTTP, beside those of http_host and http_url.",
    )
    http_allowed_origins: tuple[str, ...] = Field(
        default=(), description="Web pages that may use this server over HTTP, such as https://app.example.org."
    )
    http_max_body_bytes: int = Field(
        default=64 * MIB, ge=1024, description="Largest request over HTTP; a picture in a data: URI takes 4/3 its size."
    )
    http_tokens_file: Path | None = Field(
        default=None,
        description="File with the tokens that clients may use over HTTP, one a line, or `name token`; each is an "
        "owner of its own (or INTERNVL_MCP_HTTP_TOKENS itself).",
    )
    http_tokens: SecretStr | None = Field(
        default=None, description="The tokens for HTTP, as in http_tokens_file: from the environment or that file only."
    )
    http_without_token: bool = Field(
        default=False, description="Whether to listen on other addresses than loopback although no token is asked for."
    )
    http_max_calls: int = Field(default=8, ge=1, description="Calls at work at once over HTTP; others wait their turn.")
    http_max_calls_per_client: int = Field(default=4, ge=1, description="Calls at work at once of one owner over HTTP.")
    http_max_waiting_calls: int = Field(
        default=64, ge=0, description="Calls that wait for their turn over HTTP; more are refused as busy."
    )
    http_drain_s: float = Field(
        default=25.0, ge=0, description="Time that calls at work get when a server over HTTP is told to end."
    )
    oauth_issuer: HttpAddress | None = Field(
        default=None, description="Authorisation server whose signed tokens (JWT) are taken over HTTP."
    )
    oauth_jwks_url: HttpAddress | None = Field(
        default=None, description="Where the authorisation server publishes its keys (JWKS)."
    )
    oauth_audience: str | None = Field(
        default=None, description="Whom a signed token must be meant for; none: http_url."
    )
    oauth_scopes: tuple[str, ...] = Field(default=(), description="Scopes that a signed token must have.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="How the log (stderr) is written; json: one object a line."
    )
