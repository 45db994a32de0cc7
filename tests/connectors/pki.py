"""Certificates for the tests, right and wrong in one thing each."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connectors.opcua.trust import moment
from tests.connectors.servers import START_NS

SERVER_URI = "urn:freeopcua:python:server"


def make(folder: Path, name: str, uri: str = SERVER_URI, hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
         days: tuple[int, int] = (-1, 365)) -> tuple[Path, Path]:
    """Write a self-signed certificate, valid in `days` around START_NS, and its key; return their files."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(private.public_key())
               .serial_number(x509.random_serial_number())
               .not_valid_before(moment(START_NS) + timedelta(days=days[0]))
               .not_valid_after(moment(START_NS) + timedelta(days=days[1]))
               .add_extension(x509.SubjectAlternativeName(names), critical=False))
    certificate, key = folder / f"{name}.der", folder / f"{name}.pem"
    certificate.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))
    return certificate, key
