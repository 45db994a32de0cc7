"""Certificates of OPC UA applications: whose a server's is, whether it is believed, and our own.

Part 4, 6.1.3 says what is checked of a server's certificate, Part 6, 6.2.2 what is in one. Trust is given to single
certificates, not to authorities: a server is believed because a person has compared its fingerprint.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connectors import ConnectorError
from connectors.opcua.times import moment

OWN_CERTIFICATE: Final = "forewarn.der"
OWN_KEY: Final = "forewarn.pem"
OWN_DAYS: Final = 3650
EXPIRY_TOLD_DAYS: Final = 30
_KEY_BITS: Final = 2048
_COMMON_NAME_CHARACTERS: Final = 64  # RFC 5280, A.1


@dataclass(frozen=True, slots=True)
class Certificate:
    """An application instance certificate (Part 6, 6.2.2), by its DER octets."""

    der: bytes
    parsed: x509.Certificate

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the first certificate in `data`, DER (further ones may follow: a chain) or PEM; raise ValueError."""
        if data.lstrip().startswith(b"-----BEGIN"):
            found = x509.load_pem_x509_certificate(data)
        else:
            found = x509.load_der_x509_certificate(data[: _der_bytes(data)])
        return cls(found.public_bytes(serialization.Encoding.DER), found)

    @classmethod
    def read(cls, path: Path, what: str) -> Self:
        """Return the certificate in a file, which an error calls `what`; raise ConnectorError."""
        try:
            return cls.of(path.read_bytes())
        except OSError as error:
            raise ConnectorError(f"{what} {path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ConnectorError(f"{what} {path} is no certificate in DER or PEM") from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER octets, as engineering tools show it: "AB:CD:..."."""
        return self.parsed.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def subject(self) -> str:
        """The subject's distinguished name (RFC 4514)."""
        return self.parsed.subject.rfc4514_string()

    @property
    def application_uri(self) -> str:
        """The first URI of the subject's alternative names, "" where there is none."""
        return next(iter(self._names(x509.UniformResourceIdentifier)), "")

    @property
    def hosts(self) -> list[str]:
        """The host names and addresses for which it was issued."""
        return [*self._names(x509.DNSName), *self._names(x509.IPAddress)]

    @property
    def not_before(self) -> datetime:
        """From when it is valid, UTC."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """Until when it is valid, UTC."""
        return self.parsed.not_valid_after_utc

    def doubts(self, time_ns: int, application_uri: str | None, host: str | None) -> list[str]:
        """Return why it is not valid at a time (UTC ns), for a server of that URI at that host; None: not checked."""
        now, found = moment(time_ns), []
        if now < self.not_before:
            found.append(f"it is valid only from {self.not_before:%Y-%m-%d %H:%M} UTC on, and the gateway's clock says "
                         f"{now:%Y-%m-%d %H:%M}: set the clock that is wrong")
        if now > self.not_after:
            found.append(f"it expired on {self.not_after:%Y-%m-%d}: give the server a new one and trust that")
        if application_uri is not None and application_uri != self.application_uri:
            found.append(f'it was issued for the application URI "{self.application_uri}", and the server calls itself '
                         f'"{application_uri}": give the server a certificate of its own')
        if host is not None and not any(_same_host(host, name) for name in self.hosts):
            found.append(f"it was issued for {', '.join(self.hosts) or 'no host'}, and the url names {host}: use one "
                         "of those in the url, or pin the certificate with server_certificate")
        return found

    def describe(self) -> list[str]:
        """Return what a person compares before trusting it, a line each."""
        return [f"subject      {self.subject}", f"SHA-256      {self.fingerprint}",
                f"valid        {self.not_before:%Y-%m-%d} to {self.not_after:%Y-%m-%d}",
                f"application  {self.application_uri or '(none)'}", f"hosts        {', '.join(self.hosts) or '(none)'}"]

    def _names(self, kind: type[x509.GeneralName]) -> list[str]:
        try:
            names = self.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [str(name.value) for name in names if isinstance(name, kind)]


class TrustList:
    """The servers' certificates that a person has trusted: one .der file each, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, certificate: Certificate) -> bool:
        return any(known.der == certificate.der for known in self.entries())

    def entries(self) -> list[Certificate]:
        """Return the certificates, by file name; raise ConnectorError where one cannot be read."""
        return [Certificate.read(path, "trusted certificate") for path in sorted(self._folder.glob("*.der"))]

    def add(self, certificate: Certificate) -> Path:
        """Trust a certificate from now on; return its file."""
        _make_folder(self._folder)
        path = self._folder / f"{certificate.parsed.fingerprint(hashes.SHA256()).hex()}.der"
        _write(path, certificate.der, 0o644)
        return path

    def remove(self, fingerprint: str) -> bool:
        """Trust a certificate no longer; return whether it was trusted."""
        wanted = plain(fingerprint)
        gone = [path for path in sorted(self._folder.glob("*.der"))
                if plain(Certificate.read(path, "trusted certificate").fingerprint) == wanted]
        for path in gone:
            path.unlink()
        return bool(gone)


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own certificate and the file of its key."""

    certificate: Certificate
    key: Path

    def expiry(self, time_ns: int) -> str:
        """Return a warning where the certificate ends within 30 days of a time (UTC ns), else ""."""
        left = self.certificate.not_after - moment(time_ns)
        if left > timedelta(days=EXPIRY_TOLD_DAYS):
            return ""
        when = f"{self.certificate.not_after:%Y-%m-%d}"
        said = f"expires on {when}" if left > timedelta() else f"expired on {when}"
        return (f"this agent's certificate {said}: move {self.key.parent} away, restart the agent, which makes a new "
                "one, and trust that on the server")


def own_identity(folder: Path, time_ns: int) -> Identity:
    """Return our certificate and key in `folder`, made at `time_ns` (UTC) where there is neither; raise ConnectorError.

    They are never made anew: each new certificate has to be trusted on every server by hand.
    """
    certificate, key = folder / OWN_CERTIFICATE, folder / OWN_KEY
    there = [path for path in (certificate, key) if path.exists()]
    if len(there) == 1:
        lost = key if there == [certificate] else certificate
        raise ConnectorError(f"{there[0]} is there and {lost} is not: restore it from a backup, or move {folder} away "
                             "for a new pair, which every server then has to trust anew")
    if not there:
        try:
            _make(certificate, key, moment(time_ns))
        except OSError as error:
            raise ConnectorError(f"this agent's certificate cannot be made in {folder} ({error.strerror}): let the "
                                 "agent's user write there") from error
    return Identity(Certificate.read(certificate, "this agent's certificate"), key)


def plain(fingerprint: str) -> str:
    """Return a fingerprint without what people put between its digits."""
    return fingerprint.replace(":", "").replace(" ", "").replace("-", "").lower()


def _make(certificate: Path, key: Path, now: datetime) -> None:
    host = socket.gethostname() or "localhost"
    private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Forewarn on {host}"[:_COMMON_NAME_CHARACTERS]),
                      x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forewarn")])
    usage = x509.KeyUsage(digital_signature=True, content_commitment=True, key_encipherment=True,
                          data_encipherment=True, key_agreement=False, key_cert_sign=True, crl_sign=False,
                          encipher_only=False, decipher_only=False)  # Part 6, 6.2.2; key_cert_sign: it signs itself
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=OWN_DAYS))
        .add_extension(x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(f"urn:{host}:forewarn:agent"), x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False))
    signed = builder.sign(private, hashes.SHA256())
    _make_folder(certificate.parent)
    _write(key, private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()), 0o600)
    _write(certificate, signed.public_bytes(serialization.Encoding.DER), 0o644)


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for the owner of the one above: root may prepare what the agent then reads."""
    if folder.exists():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700)
    _belong(folder)


def _belong(path: Path) -> None:
    owner = path.parent.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _belong(part)
    part.replace(path)


def _der_bytes(data: bytes) -> int:
    """Return how long the first DER value in `data` is (X.690, 8.1)."""
    if len(data) < 2:
        raise ValueError("no certificate")
    if data[1] < 0x80:
        return 2 + data[1]
    octets = data[1] & 0x7F
    return 2 + octets + int.from_bytes(data[2 : 2 + octets], "big")


def _same_host(host: str, name: str) -> bool:
    try:
        return ip_address(host) == ip_address(name)
    except ValueError:
        return host.rstrip(".").casefold() == name.rstrip(".").casefold()
