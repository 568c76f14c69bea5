"""Bearer tokens of the server's own list."""

from __future__ import annotations

import hashlib
import hmac

from mcp.server.auth.provider import AccessToken

from vision.errors import ConfigError

_SHORTEST = 16
_FORM = f"Write a token, or `name token`, a line; a token is a word of at least {_SHORTEST} printable ASCII characters."


class OwnTokens:
    """`text`: one token a line, or `name token`. Empty lines and those that begin with # are skipped; a comma ends a
    line too. The name is the owner's: it may stay when the token is replaced. Tokens have all `scopes`.

    Raises ConfigError, which says where the list is wrong and repeats nothing of it.
    """

    def __init__(self, text: str, scopes: tuple[str, ...] = ()) -> None:
        self._scopes = list(scopes)
        self._names: dict[bytes, str] = {}
        for number, line in enumerate(text.replace(",", "\n").splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            token = words[-1]
            if len(words) > 2 or len(token) < _SHORTEST or not (token.isascii() and token.isprintable()):
                raise ConfigError(f"the list of tokens is wrong in line {number}", _FORM)
            digest = _digest(token)
            name = words[0] if len(words) == 2 else digest.hex()[:16]
            if digest in self._names:
                raise ConfigError(f"the list of tokens has the token of line {number} twice", _FORM)
            self._names[digest] = name
        if not self._names:
            raise ConfigError("the list of tokens is empty", _FORM)

    async def verify_token(self, token: str) -> AccessToken | None:
        given = _digest(token)
        found: str | None = None
        # All are compared, each in constant time: how long it takes tells nothing about any of them.
        for digest, name in self._names.items():
            if hmac.compare_digest(digest, given):
                found = name
        if found is None:
            return None
        # The token itself is not kept: what is not there cannot be shown.
        return AccessToken(token="", client_id=found, subject=found, scopes=self._scopes)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
