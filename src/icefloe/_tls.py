"""TLS contexts for the ``icefloe`` command, and its self-signed certificate."""

import datetime
import ipaddress
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=397)
"""Lifetime of a self-signed certificate. Browsers accept at most 398 days."""

_MIN_REMAINING = datetime.timedelta(days=7)
"""Remaining lifetime below which the certificate is made again."""


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS context of a server.

    Args:
        certificate: PEM file with the certificate chain.
        key: PEM file with the private key; ``None`` if it is in the same file.

    Raises:
        OSError: A file cannot be read, or (``ssl.SSLError``) its content is invalid.
        ValueError: The private key is encrypted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=_no_password)
    return context


def _no_password() -> str:
    # Without this OpenSSL asks for the password on the terminal, and the server hangs.
    raise ValueError("the private key is encrypted; decrypt it with `openssl pkey` first")


def client_context(certificate: Path) -> ssl.SSLContext:
    """Return the TLS context of a client on this machine that trusts this certificate.

    The host name is not verified: the client connects over loopback, and the certificate may be for
    any name.
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate, in the form that browsers show."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


def self_signed(addresses: Iterable[str], folder: Path | None = None) -> Path:
    """Return a self-signed certificate for this machine, valid for at least another week.

    The certificate is stored and reused, so that an exception in a browser stays valid. It is made
    again when it is about to expire, or when the machine has an address that it does not include.

    Args:
        addresses: The IP addresses of the machine, without loopback.
        folder: The folder to store it in; by default the cache folder of the user.

    Returns:
        A PEM file with the certificate and private key, readable only by the user.

    Raises:
        OSError: The file cannot be written.
    """
    names = {"localhost", socket.gethostname().lower()}
    parsed = {ipaddress.ip_address(a) for a in ("127.0.0.1", "::1", *addresses)}
    path = (folder or cache_folder()) / "self-signed.pem"
    if not _is_usable(path, parsed):
        _write(path, _make(sorted(filter(_is_dns_name, names)), sorted(parsed, key=str)))
    return path


def cache_folder() -> Path:
    """Return the cache folder of icefloe for this user.

    Raises:
        RuntimeError: The user has no home folder.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "icefloe"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _is_dns_name(name: str) -> bool:
    return name.isascii() and all(
        part and part.replace("-", "").isalnum() for part in name.split(".")
    )


def _is_usable(path: Path, addresses: set[_Address]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    covered = set(names.value.get_values_for_type(x509.IPAddress))
    return left > _MIN_REMAINING and addresses <= covered


def _make(names: list[str], addresses: list[_Address]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "icefloe on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # the clock of a client may be slow
        .not_valid_after(now + _LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName(
                [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Readable only by the user, and renamed when complete, as another server may start now.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
