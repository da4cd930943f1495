"""Certificates for the ``icefloe`` command: given ones, and one that it makes for itself."""

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
"""No browser takes more than 398 days from an authority; this is to pass as one of theirs."""

_LEFT_AT_LEAST = datetime.timedelta(days=7)


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return what a server needs to speak TLS.

    Args:
        certificate: PEM file with the certificate and those of its authorities.
        key: PEM file with the private key; ``None`` if it is in the same file.

    Raises:
        OSError: A file cannot be read, or (``ssl.SSLError``) is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=_no_password)
    return context


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a server without one would hang.
    raise ValueError("the private key is encrypted; decrypt it with `openssl pkey` first")


def client_context(certificate: Path) -> ssl.SSLContext:
    """Return what a client on this machine needs to trust the server of this certificate.

    The name is not compared: the client comes over loopback, whatever the certificate is for.
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate as browsers show it."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


def self_signed(addresses: Iterable[str], folder: Path | None = None) -> Path:
    """Return a certificate for this machine that is good for another week at least.

    It is kept, so that an exception that somebody made for it in a browser lasts, and made anew
    when it lapses or the machine has an address that is not in it.

    Args:
        addresses: IP addresses of the machine, beside loopback.
        folder: Where it is kept; by default with the user's caches.

    Returns:
        PEM file with certificate and private key, readable for the user alone.

    Raises:
        OSError: It cannot be kept there.
    """
    names = {"localhost", socket.gethostname().lower()}
    parsed = {ipaddress.ip_address(a) for a in ("127.0.0.1", "::1", *addresses)}
    path = (folder or cache_folder()) / "self-signed.pem"
    if not _is_good(path, parsed):
        _write(path, _make(sorted(filter(_is_dns_name, names)), sorted(parsed, key=str)))
    return path


def cache_folder() -> Path:
    """Return where this user's programs keep what they can make again."""
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


def _is_good(path: Path, addresses: set[_Address]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False  # none yet, or not one of ours
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    covered = set(names.value.get_values_for_type(x509.IPAddress))
    return left > _LEFT_AT_LEAST and addresses <= covered


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
        .not_valid_before(now - datetime.timedelta(hours=1))  # other clocks run behind
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
    # Made for the user alone, and put in place whole: another server may start at this moment.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
