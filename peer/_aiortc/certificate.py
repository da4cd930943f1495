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
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(self.CIPHERS)
        return context
