"""Ask the server in this container for /healthz; the exit code is 0 if it answers.

It may speak http, or https with any certificate: nothing is told to it or taken from it.
"""

import http.client
import os
import ssl
import sys

SECONDS = 2.0


def is_well(connection: http.client.HTTPConnection) -> bool:
    """Return whether the server answers 200."""
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Return the exit code."""
    host, port = "127.0.0.1", int(os.environ.get("ICEFLOE_PORT", "8443"))
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname = False
    any_certificate.verify_mode = ssl.CERT_NONE
    return not (
        is_well(http.client.HTTPSConnection(host, port, timeout=SECONDS, context=any_certificate))
        or is_well(http.client.HTTPConnection(host, port, timeout=SECONDS))
    )


if __name__ == "__main__":
    sys.exit(main())
