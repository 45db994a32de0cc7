"""Links by which a technician says what one alert was, without an account: signed by the agent, and good for a time.

A token is `ALERT~EXPIRY~MAC`: the alert's id, the second (UTC, hexadecimal) at which it expires, and an HMAC-SHA256 of
both, cut to 128 bits (RFC 2104, section 5). The secret is derived from the gateway's signing key, so that there is
nothing more to keep, and whoever may read that key may make links.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from agent.trust import KEY, signing_key

PURPOSE: Final = b"forewarn label link 1"
MAC_BYTES: Final = 16
TOKEN_CHARACTERS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link is good for: to label this alert, until `expires_ns` (UTC)."""

    alert_id: str
    expires_ns: int


class LabelLinks:
    """Makes tokens of links, and knows those again that it made."""

    def __init__(self, state_dir: Path) -> None:
        self._key_file = state_dir / KEY

    @cached_property
    def _secret(self) -> bytes:
        return hmac.digest(signing_key(self._key_file).private_bytes_raw(), PURPOSE, "sha256")

    def token(self, ticket: Ticket) -> str:
        """Return the token of a link; raise BundleError where the signing key cannot be used."""
        said = f"{ticket.alert_id}~{ticket.expires_ns // 1_000_000_000:x}"
        return f"{said}~{self._mac(said)}"

    def ticket(self, token: str) -> Ticket | None:
        """Return what a token is good for, expired or not, None where it is none of ours; raise as `token` does."""
        said, _, mac = token.rpartition("~")
        theirs = mac.encode("utf-8", "surrogatepass")
        if len(token) > TOKEN_CHARACTERS_MAX or not hmac.compare_digest(self._mac(said).encode(), theirs):
            return None
        alert_id, _, expires = said.rpartition("~")
        return Ticket(alert_id, int(expires, 16) * 1_000_000_000)

    def _mac(self, said: str) -> str:
        mac = hmac.digest(self._secret, said.encode("utf-8", "surrogatepass"), "sha256")[:MAC_BYTES]
        return urlsafe_b64encode(mac).decode().rstrip("=")
