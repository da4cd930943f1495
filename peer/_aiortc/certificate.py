"""The certificate of DTLS, and the suites that are offered with it."""

from typing import Any

from aiortc import RTCCertificate
from OpenSSL import SSL


class Certificate(RTCCertificate):
    """A certificate whose DTLS client also takes servers with an RSA certificate.

    RFC 8827 section 6.5 makes one ECDSA suite mandatory and allows others; GStreamer's webrtcbin
    comes with RSA. OpenSSL lists stay in order, so that two ECDSA ends choose what they chose.
    """

    CIPHERS = (
        b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
        b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
        b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
        b"ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
    )

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> SSL.Context:
        """Return the context of the process, with which :meth:`use` goes.

        A context takes as much memory as all else that DTLS needs for a connection.
        """
        profiles = b":".join(each.openssl_profile for each in srtp_profiles)
        context = _contexts.get(profiles)
        if context is None:
            context = super()._create_ssl_context(srtp_profiles)
            context.set_cipher_list(self.CIPHERS)
            # No session is resumed: each connection shows its own certificate.
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            context.set_mode(_RELEASE_BUFFERS)
            _contexts[profiles] = context
        return context

    def use(self, ssl: SSL.Connection) -> None:
        """Have a connection of the shared context show this certificate."""
        ssl.use_certificate(self._cert)
        ssl.use_privatekey(self._key)


_RELEASE_BUFFERS = 0x10
"""SSL_MODE_RELEASE_BUFFERS of OpenSSL: what is not being read takes no buffer."""

_contexts: dict[bytes, SSL.Context] = {}
"""The contexts of DTLS by their SRTP profiles, of which aiortc has one list."""
