"""The hub, through huggingface_hub: what a repository holds, and an open connection to one of its files.

The only module that imports that library, which reads HF_ENDPOINT, HF_TOKEN (or the token that `hf auth login` keeps),
HF_HUB_OFFLINE and HF_HUB_DOWNLOAD_TIMEOUT itself when it is imported; proxies come from HTTPS_PROXY and the like. Files
travel over plain HTTP, which can be continued; Xet is not used.

huggingface_hub's and httpx's exceptions become DownloadFailed, or Dropped where another attempt may help.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from vision.errors import DownloadFailed, EngineUnavailable
from vision.weights.layout import COMMIT
from vision.weights.transfer import Body, Dropped, RangeRefused, RemoteFile

_NAMES = frozenset({"merges.txt", "tokenizer.model"})
_SUFFIXES = (".safetensors", ".json", ".jinja")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Listing:
    """What is wanted of one commit of a repository."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def wanted(name: str) -> bool:
    """Weights as safetensors, JSON, templates and tokenizer tables of the top folder: data, never code or pickles."""
    return bool(_PLAIN_NAME.fullmatch(name)) and (name in _NAMES or name.endswith(_SUFFIXES))


class Hub:
    """`endpoint`: the hub's address, HF_ENDPOINT unless given.

    Raises EngineUnavailable where huggingface_hub is not installed, DownloadFailed for an address that is none.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        try:
            import huggingface_hub
            from huggingface_hub import constants, errors
        except ImportError as e:
            raise EngineUnavailable(
                "huggingface_hub is not installed", "Install the model's libraries with: internvl-mcp setup"
            ) from e
        self._library: ModuleType = huggingface_hub
        self._errors: Any = errors
        self._timeout_s: int = constants.HF_HUB_DOWNLOAD_TIMEOUT
        self.endpoint: str = endpoint or constants.ENDPOINT
        self.offline: bool = constants.is_offline_mode()
        address = urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise DownloadFailed(
                f"HF_ENDPOINT is {self.endpoint!r}, which is no address of a hub",
                "Give it as https://host, or leave it unset for https://huggingface.co.",
            )

    def listing(self, repository: str, revision: str) -> Listing:
        """The wanted files of a revision (commit, branch or tag). Raises DownloadFailed, Dropped."""
        if not _REVISION.fullmatch(revision) or ".." in revision:  # it names a file under refs/, too
            raise DownloadFailed(f"{revision!r} is no revision", "Give a commit, branch or tag, such as main.")
        with self._mapped(repository, revision):
            api = self._library.HfApi(endpoint=self.endpoint, library_name="internvl-mcp")
            info = api.model_info(repository, revision=revision, files_metadata=True, timeout=self._timeout_s)
        files = [self._remote_file(repository, s) for s in info.siblings or () if wanted(s.rfilename)]
        if not COMMIT.fullmatch(info.sha or ""):
            raise self._no_hub(f"it names no commit for {repository}")
        if not any(file.name.endswith(".safetensors") for file in files):
            raise DownloadFailed(
                f"{repository} holds no *.safetensors file",
                "Only native checkpoints are used: `internvl-mcp plan` names those that fit this machine.",
            )
        return Listing(repository, info.sha, tuple(files))

    def _remote_file(self, repository: str, sibling: Any) -> RemoteFile:
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        size = sibling.lfs.size if sibling.lfs else sibling.size
        if not isinstance(size, int) or size < 0 or not _DIGEST.fullmatch(digest or ""):
            raise self._no_hub(f"it gives no size or digest for {sibling.rfilename} of {repository}")
        return RemoteFile(sibling.rfilename, size, digest)

    @contextmanager
    def open(self, listing: Listing, file: RemoteFile, start: int) -> Iterator[Body]:
        """The bytes of a file from `start` on. Raises DownloadFailed, Dropped, RangeRefused; so does reading them."""
        url = self._library.hf_hub_url(listing.repository, file.name, revision=listing.commit, endpoint=self.endpoint)
        with self._mapped(listing.repository, listing.commit, file.name):
            headers = self._library.utils.build_hf_headers(library_name="internvl-mcp")
            headers["Accept-Encoding"] = "identity"  # positions count in the file itself
            if start:
                headers["Range"] = f"bytes={start}-"
            # The client follows redirects to the hub's storage and leaves the token out there.
            with self._library.get_session().stream("GET", url, headers=headers, timeout=self._timeout_s) as response:
                if response.status_code == 416:
                    raise RangeRefused
                if response.is_error:
                    response.read()
                self._library.utils.hf_raise_for_status(response)
                yield Body(_first_position(response, start), response.iter_bytes())

    @contextmanager
    def _mapped(self, repository: str, revision: str, name: str | None = None) -> Iterator[None]:
        errors = self._errors
        try:
            yield
        except errors.OfflineModeIsEnabled as e:
            raise DownloadFailed(
                f"HF_HUB_OFFLINE is set, and {repository} is not complete on this machine",
                "Unset HF_HUB_OFFLINE, or fetch it on another machine and copy that folder of the hub's cache.",
            ) from e
        except errors.HfHubHTTPError as e:
            raise self._refused(e, repository, revision, name) from e
        except errors.HFValidationError as e:
            raise DownloadFailed(
                f"{repository!r} is no name of a repository", "Names look like OpenGVLab/InternVL3_5-8B-HF."
            ) from e
        except errors.HTTPError as e:
            raise Dropped(f"{self.endpoint}: {type(e).__name__}: {e}") from e
        except (KeyError, TypeError, ValueError) as e:  # a reply that is not the hub's JSON: a login page, say
            raise self._no_hub(f"its answer cannot be read ({type(e).__name__})") from e

    def _refused(self, error: Any, repository: str, revision: str, name: str | None) -> DownloadFailed | Dropped:
        errors, status = self._errors, error.response.status_code
        if status in _PASSING:
            return Dropped(f"{self.endpoint} answered {status}", _wait_s(error.response.headers))
        if isinstance(error, errors.GatedRepoError):
            return DownloadFailed(
                f"{repository} is given out only to accounts that accepted its terms",
                f"Accept them at {self.endpoint}/{repository}, then set HF_TOKEN to a token of that account.",
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return DownloadFailed(
                f"{repository} has no revision {revision}", "Give a commit, branch or tag that exists, such as main."
            )
        if name is not None and status == 404:
            return DownloadFailed(
                f"{name} of {repository} is listed, but not there", "Try again later, or another --revision."
            )
        if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
            return DownloadFailed(
                f"{self.endpoint} has no repository {repository}, or not for this account",
                "Check the name; `internvl-mcp plan` shows those that are known. For a private one set HF_TOKEN.",
            )
        if status in (401, 403):
            return DownloadFailed(
                f"{self.endpoint} refuses {repository} ({status})",
                "Check the name; set HF_TOKEN to a token that may read it, or unset one that is out of date.",
            )
        return DownloadFailed(
            f"{self.endpoint} answered {status} for {repository}", "Check HF_ENDPOINT and any proxy, then pull again."
        )

    def _no_hub(self, why: str) -> DownloadFailed:
        return DownloadFailed(
            f"what answers at {self.endpoint} is not a model hub: {why}",
            "Check HF_ENDPOINT, any proxy, and whether the network wants a login.",
        )


def _first_position(response: Any, asked: int) -> int:
    """Where in the file a reply begins. Raises Dropped when it is not what was asked for and not the whole."""
    if response.status_code != 206:
        return 0
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if given is None or int(given[1]) != asked:
        raise Dropped("the hub sent another part of the file than was asked for")
    return asked


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a busy hub asks for: Retry-After, or the hub's own `RateLimit: "api";r=0;t=55`."""
    named = re.fullmatch(r"\d+", headers.get("Retry-After", "")) or re.search(
        r"(?<=;t=)\d+", headers.get("RateLimit", "")
    )
    return float(named[0]) if named else None
