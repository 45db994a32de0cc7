"""The secure channel of an OPC UA session: what the server offers, whom we believe, and as whom we log in.

Never less than what was asked for: the endpoint with exactly the configured policy and mode, or none. Every byte
passes the filter of connectors.readonly, those of the discovery included.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua import ua_binary
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from connectors import ConnectorError
from connectors.opcua.endpoint import OpcuaEndpoint
from connectors.opcua.trust import Certificate, Identity, TrustList, own_identity
from connectors.patience import within
from connectors.readonly import ReadOnlyTransport, WriteRefusedError, check_opcua

_POLICIES: Final[dict[str, Any]] = {
    "None": security_policies.SecurityPolicyNone,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES: Final = {"Sign": ua.MessageSecurityMode.Sign, "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt}


class _NoNulls:
    """In place of asyncua's reader of arrays of nulls, which take no bytes: ten could announce two thousand million."""

    @staticmethod
    def unpack_array(_: object, length: int) -> tuple[()] | None:
        if length > 0:
            raise ValueError(f"an array of {length} nulls")
        return None if length < 0 else ()

    @staticmethod
    def pack_array(data: Sequence[None] | None) -> bytes:
        return struct.pack("<i", -1 if data is None else len(data))


def refuse_arrays_of_nulls() -> None:
    """Let asyncua refuse arrays of nulls; to be called before anything is read from a server."""
    if getattr(ua_binary.Primitives1, "Null", None) is not _NoNulls:
        ua_binary.Primitives1.Null = _NoNulls  # type: ignore[attr-defined]
        ua_binary._create_uatype_array_deserializer.cache_clear()


# What asyncua raises for a peer that is gone, refuses, or answers nonsense: its decoder lets these through.
FAULTS: Final = (UaError, OSError, TimeoutError, ValueError, TypeError, LookupError, AttributeError,
                 ArithmeticError, AssertionError, RuntimeError, struct.error, InvalidSignature,
                 UnsupportedAlgorithm)
_REMEDIES: Final[dict[int, str]] = {
    StatusCodes.BadCertificateUntrusted: "trust this agent's certificate on the server",
    StatusCodes.BadSecurityChecksFailed: "trust this agent's certificate on the server; compare the clocks",
    StatusCodes.BadCertificateUriInvalid: "give the agent a certificate that names its application URI",
    StatusCodes.BadIdentityTokenRejected: "the server does not accept this way to log in: allow {user} on the server, "
                                          "one that may only read",
    StatusCodes.BadIdentityTokenInvalid: "the server does not accept this way to log in: allow {user} on the server",
    StatusCodes.BadUserAccessDenied: "check user and password; let {user} log in and read these nodes on the server",
    StatusCodes.BadTooManySessions: "the server has no session free: close another client, or raise its limit; "
                                    "sessions of clients that vanished end by themselves within minutes",
    StatusCodes.BadSecurityPolicyRejected: "choose a security_policy which the server offers",
}
_NO_ENDPOINT: Final = "No matching endpoints"
"""What asyncua says of a server without the security that is wanted; it is one of its errors without a code."""
_NOT_OFFERED: Final = "the server does not offer security_policy \"None\": leave insecure out"
_MESSAGE_BYTES_MAX: Final = 16 * 2**20
_CHUNKS_MAX: Final = 1024
_CLOSE_TIMEOUT_MS: Final = 250.0  # a server that has gone quiet is not waited for once more
LOGIN_REQUESTS: Final = 10  # twice socket, Hello and channel, once endpoints, session, activation, and one to spare


class _ReadOnlyConnection(SecureConnection):
    """The secure channel, which shows each request to the filter before it is encrypted."""

    def __init__(self, policy: security_policies.SecurityPolicy) -> None:
        super().__init__(policy, _Limits(max_chunk_count=_CHUNKS_MAX, max_message_size=_MESSAGE_BYTES_MAX))
        self._passed = b""
        self._greeted = False

    def message_to_binary(self, message: bytes, message_type: Any = ua.MessageType.SecureMessage,
                          request_id: int = 0) -> bytes:
        check_opcua(message)
        self._passed = super().message_to_binary(message, message_type, request_id)
        if not self._passed:
            raise ValueError("the server has announced too small a buffer for any message")
        return self._passed

    def check_sent(self, data: bytes) -> None:
        """Let pass one Hello and what `message_to_binary` has just made; raise WriteRefusedError for all else.
        """
        passed, self._passed = self._passed, b""
        if not self._greeted and data[:4] == b"HELF" and data[4:8] == len(data).to_bytes(4, "little"):
            self._greeted = True
        elif not passed or data != passed:
            raise WriteRefusedError(f"an OPC UA message that went round the filter ({data[:16].hex(' ')})")


class _Limits(TransportLimits):
    """What a server may send us; it can ask for less but not for more (0 means without limit)."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        buffer_bytes = self.max_recv_buffer
        super().update_client_limits(msg)
        self.max_recv_buffer = min(self.max_recv_buffer, buffer_bytes)
        self.max_chunk_count = min(self.max_chunk_count or _CHUNKS_MAX, _CHUNKS_MAX)
        self.max_message_size = min(self.max_message_size or _MESSAGE_BYTES_MAX, _MESSAGE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Offer:
    """An endpoint that a server offers: security policy and mode by their names, its certificate and application URI.

    The URL in it is not kept: behind address translation it leads nowhere, and the configured one leads here.
    """

    policy: str
    mode: str
    certificate: bytes
    application_uri: str


async def offers(endpoint: OpcuaEndpoint) -> list[Offer]:
    """Ask a server what it offers (GetEndpoints, over a channel without security); raise ConnectorError."""
    client = Client(endpoint.url, timeout=endpoint.timeout_ms / 1e3)
    with faults("ask for the endpoints of", endpoint, first=True):
        try:
            await _open_channel(client, endpoint)
            found = await client.get_endpoints()
        finally:
            await _hang_up(client)
        return [Offer(str(one.SecurityPolicyUri).rpartition("#")[2],
                      ua.MessageSecurityMode(one.SecurityMode).name.rstrip("_"), one.ServerCertificate or b"",
                      str(one.Server.ApplicationUri)) for one in found]


async def log_in(client: Client, endpoint: OpcuaEndpoint, time_ns: int) -> str:
    """Open channel and session as configured, at `time_ns` (UTC); return a warning to show, "" where all is well.

    Raise ConnectorError saying why that failed.
    """
    warning = ""
    if endpoint.security_policy != "None":
        warning = await _secure(client, endpoint, time_ns)
    with faults("connect to", endpoint):
        await _open_channel(client, endpoint)
        await client.create_session()
        await _activate(client, endpoint)
    return warning


async def log_out(client: Client) -> None:
    """End the session and its subscriptions; never raises."""
    try:
        if client.uaclient.protocol is not None:
            with suppress(*FAULTS), within(_CLOSE_TIMEOUT_MS):
                await client.close_session()
                await client.close_secure_channel()
    finally:
        client.disconnect_socket()


async def _hang_up(client: Client) -> None:
    with suppress(*FAULTS), within(_CLOSE_TIMEOUT_MS):
        await client.close_secure_channel()
    client.disconnect_socket()


async def _open_channel(client: Client, endpoint: OpcuaEndpoint) -> None:
    with faults("connect to", endpoint, first=True):
        await _greet(client)
    await client.open_secure_channel()


async def _greet(client: Client) -> None:
    """Connect and exchange the Hello, which costs a server no session."""
    refuse_arrays_of_nulls()
    await client.connect_socket()
    protocol = client.uaclient.protocol
    if protocol is None or protocol.transport is None:
        raise ConnectionError("closed by the server")
    connection = _ReadOnlyConnection(client.uaclient.security_policy)
    protocol._connection = connection
    protocol.transport = cast("asyncio.Transport", ReadOnlyTransport(protocol.transport, connection.check_sent))
    await client.send_hello()


async def _secure(client: Client, endpoint: OpcuaEndpoint, time_ns: int) -> str:
    """Choose the endpoint and believe its certificate, or raise ConnectorError; say whether our own ends soon."""
    own = await _identity(endpoint, time_ns)
    offer = choose(await offers(endpoint), endpoint)
    server = believed(offer, endpoint, time_ns)
    if own.certificate.application_uri:
        client.application_uri = own.certificate.application_uri  # the server compares it with the certificate
    with faults("secure the connection to", endpoint):
        key = await uacrypto.load_private_key(own.key, endpoint.private_key_password)
        policy = _POLICIES[endpoint.security_policy](
            server.parsed, own.certificate.parsed, key, _MODES[endpoint.security_mode])
    client.security_policy = policy
    client.uaclient.set_security(policy)
    return own.expiry(time_ns)


async def _identity(endpoint: OpcuaEndpoint, time_ns: int) -> Identity:
    if endpoint.certificate is not None:
        assert endpoint.private_key is not None, "see check_security"
        return Identity(Certificate.read(endpoint.certificate, "certificate"), endpoint.private_key)
    assert endpoint.pki is not None, "see check_security"
    return await asyncio.to_thread(own_identity, endpoint.pki / "own", time_ns)


def choose(offered: list[Offer], endpoint: OpcuaEndpoint) -> Offer:
    """Return the offer of exactly the configured policy and mode; raise ConnectorError saying what there is instead."""
    for offer in offered:
        if (offer.policy, offer.mode) == (endpoint.security_policy, endpoint.security_mode):
            return offer
    there = ", ".join(dict.fromkeys(f"{one.policy} {one.mode}" if one.policy != "None" else "None" for one in offered))
    raise ConnectorError(f"{endpoint} does not offer {endpoint.security_policy} {endpoint.security_mode}, and nothing "
                         f"less is taken; it offers: {there or 'nothing'}. Remedy: set security_policy and "
                         "security_mode to one of these (None needs insecure as well), or enable it on the server")


def believed(offer: Offer, endpoint: OpcuaEndpoint, time_ns: int) -> Certificate:
    """Return the server's certificate if it is valid at `time_ns` (UTC) and trusted; raise ConnectorError telling it.

    A pinned certificate says which server is meant, so the host name in it does not matter.
    """
    try:
        server = Certificate.of(offer.certificate)
    except ValueError as error:
        raise ConnectorError(f"{endpoint} shows a certificate that cannot be read: give it another one") from error
    shown = (f"subject {server.subject}, SHA-256 {server.fingerprint}, valid {server.not_before:%Y-%m-%d} to "
             f"{server.not_after:%Y-%m-%d}")
    host: str | None = urlsplit(endpoint.url).hostname or ""
    if endpoint.server_certificate is not None:
        pinned = Certificate.read(endpoint.server_certificate, "server_certificate")
        if pinned.der != server.der:
            raise ConnectorError(
                f"{endpoint} shows another certificate than {endpoint.server_certificate} (SHA-256 "
                f"{pinned.fingerprint}): {shown}. Remedy: find out whether the server was given a new one; if so, put "
                "that into server_certificate; if not, something else answers at this address")
        host = None
    elif endpoint.pki is None or server not in TrustList(endpoint.pki / "trusted"):
        raise ConnectorError(
            f"{endpoint} is not trusted yet: {shown}. Remedy: compare the fingerprint with the one that the server's "
            f"engineering tool shows, then: {endpoint.trust_command} --fingerprint {server.fingerprint}")
    if doubts := server.doubts(time_ns, offer.application_uri, host):
        raise ConnectorError(f"the certificate of {endpoint} is refused: {'; '.join(doubts)} ({shown})")
    return server


async def _activate(client: Client, endpoint: OpcuaEndpoint) -> None:
    """Log in with the configured identity (Part 4, 7.40); a password never travels in the clear."""
    user = endpoint.user
    for token in client._policy_ids:  # an empty policy means the channel's (Part 4, 7.41); asyncua takes it for none
        token.SecurityPolicyUri = token.SecurityPolicyUri or client.security_policy.URI
    if user.certificate is not None:
        assert user.private_key is not None
        certificate = Certificate.read(user.certificate, "user_certificate")
        client.user_private_key = await uacrypto.load_private_key(user.private_key)
        await client.activate_session(certificate=certificate.parsed)
    elif user.name:
        _refuse_to_tell(client, endpoint)
        await client.activate_session(username=user.name, password=user.password)
    else:
        await client.activate_session()


def _refuse_to_tell(client: Client, endpoint: OpcuaEndpoint) -> None:
    token = client.server_policy(ua.UserTokenType.UserName)
    clear = token.SecurityPolicyUri == _POLICIES["None"].URI
    encrypted = client.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
    if clear and not encrypted and not endpoint.insecure:
        raise ConnectorError(f"{endpoint} wants the password in the clear over a channel that does not encrypt. "
                             "Remedy: security_mode = \"SignAndEncrypt\"")


@contextmanager
def faults(doing: str, endpoint: OpcuaEndpoint, *, first: bool = False) -> Iterator[None]:
    """Turn what asyncua raises for a fault of the wire or the server into a ConnectorError.

    Where the `first` exchange fails without an answer, the server is unreachable.
    """
    try:
        yield
    except FAULTS as error:
        code = error.code if isinstance(error, UaStatusCodeError) else 0
        why = _reason(error) or f"no answer within {endpoint.timeout_ms} ms"
        remedy = _NOT_OFFERED if _NO_ENDPOINT in why else _REMEDIES.get(
            code, "check the address, the network and that the server runs")
        user = f'user "{endpoint.user.name}"' if endpoint.user.name else (
            "the user of user_certificate" if endpoint.user.certificate else "the anonymous user")
        raise ConnectorError(f"cannot {doing} {endpoint}: {why}. Remedy: {remedy.format(user=user)}",
                             unreachable=first and isinstance(error, OSError)) from error


def _reason(error: Exception) -> str:
    """Return the operating system's words for an error of its own: asyncio puts the address in their place."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
