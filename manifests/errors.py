"""What can go wrong when this server is put into a client's settings: a stable `code`, a message and a hint.

codes: unknown_client, no_project_scope, no_client_found, no_command, unusable_flags, file_unreadable, file_read_only,
file_broken, wrong_type, twice, changed_meanwhile, write_failed
"""

from __future__ import annotations


class InstallError(Exception):
    """Nothing was changed; `hint` says what to do next."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
