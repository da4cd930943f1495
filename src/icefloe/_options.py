# Longer than 400 lines: one option of the command after the other.
"""Options of the ``icefloe`` command, each with its environment variable."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class LogLevel(StrEnum):
    """The lowest level of log records that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def option(flag: str, help: str, **more: Any) -> Any:
    """Return an option of typer that is an environment variable as well.

    Args:
        flag: The flag: ``--tls-cert`` is ``ICEFLOE_TLS_CERT``. The help explains this once, not for
            each option.
        help: The help.
        more: Other arguments of ``typer.Option``.
    """
    name = flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return typer.Option(flag, envvar=f"ICEFLOE_{name}", show_envvar=False, help=help, **more)


def file_option(flag: str, help: str) -> Any:
    """Return an option that names a file, which has to be there."""
    return option(flag, help, metavar="FILE", exists=True, dir_okay=False, readable=True)


Host = Annotated[
    str, option("--host", "Address to listen at; 0.0.0.0 for all there are.", metavar="ADDRESS")
]
Port = Annotated[
    int, option("--port", "TCP port; 0 takes a free one.", metavar="PORT", min=0, max=65535)
]
Level = Annotated[
    LogLevel,
    option(
        "--log-level",
        f"How much is logged: {', '.join(LogLevel)}.",
        metavar="LEVEL",
        case_sensitive=False,
    ),
]
Certificate = Annotated[Path | None, file_option("--tls-cert", "Certificate for https, in PEM.")]
Key = Annotated[
    Path | None, file_option("--tls-key", "Its private key, in PEM, unless it is in the same file.")
]
SelfSigned = Annotated[
    bool,
    option(
        "--tls-self-signed",
        "Make a certificate for localhost and the addresses of this machine, and keep it.",
    ),
]
IceUrls = Annotated[
    list[str],
    option(
        "--ice-server",
        "STUN or TURN server for everybody, as stun:host or turn:host?transport=tcp. May be given "
        "again; in the variable, spaces are in between.",
        metavar="URL",
        show_default=False,
    ),
]
IceUsername = Annotated[
    str | None, option("--ice-username", "User name for the TURN servers.", metavar="NAME")
]
IceCredential = Annotated[
    str | None,
    option(
        "--ice-credential",
        "Password for the TURN servers; the variable keeps it out of the list of processes.",
        metavar="PASSWORD",
    ),
]
TurnSecretFile = Annotated[
    Path | None,
    file_option(
        "--turn-secret-file",
        "File with the secret that the TURN servers know (coturn's static-auth-secret): each "
        "participant gets credentials of its own, which expire. A second line is the secret before "
        "it. Without the file, the variable ICEFLOE_TURN_SECRET may have the secret.",
    ),
]
TurnLifetime = Annotated[
    int,
    option(
        "--turn-lifetime",
        "Seconds that these credentials hold; they are renewed before that.",
        metavar="SECONDS",
        min=300,
        max=3600,
    ),
]
Origins = Annotated[
    list[str],
    option(
        "--allowed-origin",
        "Whose pages may connect beside this server's own, as https://example.org. May be given "
        "again.",
        metavar="ORIGIN",
        show_default=False,
    ),
]
Hosts = Annotated[
    list[str],
    option(
        "--allowed-host",
        "A name by which this server is reached, such as call.example.org or *.example.org; needed "
        "behind a proxy, and for any name but this machine's. * is every name. May be given again.",
        metavar="NAME",
        show_default=False,
    ),
]
PerAddress = Annotated[
    bool,
    option(
        "--address-limits/--no-address-limits",
        "Whether one network address may take only a part of the connections, seats and rooms. "
        "Behind a proxy all have its address: there it is the proxy's to limit them.",
    ),
]
WebhookUrls = Annotated[
    list[str],
    option(
        "--webhook",
        "URL that joins and leaves are posted to, signed. May be given again; in the variable, "
        "spaces are in between.",
        metavar="URL",
        show_default=False,
    ),
]
WebhookSecretFile = Annotated[
    Path | None,
    file_option(
        "--webhook-secret-file",
        "File with the secret that webhooks are signed with, as `openssl rand -base64 32` makes "
        "it. A second line is the secret before it. Without the file, the variable "
        "ICEFLOE_WEBHOOK_SECRET may have the secret.",
    ),
]
RoomName = Annotated[str, option("--room", "Room in which the participant waits.", metavar="ROOM")]
Name = Annotated[str, option("--name", "Name of the participant.", metavar="NAME")]
Play = Annotated[
    Path | None, file_option("--play", "What /play plays; without it a test pattern and a tone.")
]
UdpPort = Annotated[
    int | None,
    option(
        "--udp-port",
        "One UDP port for all connections of the participant, for a container or a firewall; 0 "
        "takes a free one.",
        metavar="PORT",
        min=0,
        max=65535,
    ),
]
TcpPort = Annotated[
    int | None,
    option(
        "--tcp-port",
        "A TCP port at which the participant is reached from networks that block UDP; 0 takes a "
        "free one.",
        metavar="PORT",
        min=0,
        max=65535,
    ),
]
ExternalAddresses = Annotated[
    list[str],
    option(
        "--external-address",
        "What others see as the address of this machine, as 203.0.113.4; one for IPv4 and one for "
        "IPv6.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
Browser = Annotated[bool, option("--browser/--no-browser", "Open the page in a browser.")]

# --- who may enter

TokenSecretFile = Annotated[
    Path | None,
    file_option(
        "--token-secret-file",
        "Keys of join tokens: secrets of at least 32 characters, one a line, or Ed25519 keys in "
        "PEM. The first one signs, all verify. ICEFLOE_TOKEN_SECRET may have them in its place.",
    ),
]
TokenAudience = Annotated[
    str | None,
    option("--token-audience", "Server that tokens have to be for.", metavar="NAME"),
]
Open = Annotated[
    bool,
    option(
        "--open/--no-open",
        "Admit everybody without a token, also where other machines reach the server.",
    ),
]
FirstModerates = Annotated[
    bool,
    option(
        "--first-moderates/--no-first-moderates",
        "Without tokens: whoever enters a room first may remove others, lock and close it.",
    ),
]


RedisUrl = Annotated[
    str | None,
    option(
        "--redis",
        "Redis through which several servers act as one, as redis://host:6379, rediss:// for TLS "
        "or unix:///path. The variable keeps a password out of the list of processes.",
        metavar="URL",
    ),
]
RedisFile = Annotated[Path | None, file_option("--redis-file", "File with that URL, in its place.")]
RedisPrefix = Annotated[
    str,
    option(
        "--redis-prefix",
        "First part of all keys in Redis; servers with the same one act as one.",
        metavar="NAME",
    ),
]


class ProxyHeaderKind(StrEnum):
    """The header in which reverse proxies name their client."""

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"


ProxyHeaders = Annotated[
    ProxyHeaderKind | None,
    option(
        "--proxy-headers",
        "Header in which the reverse proxy names its client: x-forwarded-for or forwarded.",
        metavar="HEADER",
        case_sensitive=False,
    ),
]
TrustedProxies = Annotated[
    list[str],
    option(
        "--trusted-proxy",
        "Network of the reverse proxies whose header is believed, as 10.0.0.0/8; by default this "
        "machine. May be given again.",
        metavar="NETWORK",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    file_option(
        "--token-file",
        "Token to join with; it is read again for each connection. ICEFLOE_TOKEN may have the "
        "token in its place.",
    ),
]
TokenRoom = Annotated[str | None, option("--room", "Room that the token is for.", metavar="ROOM")]
TokenRooms = Annotated[
    str | None,
    option("--rooms", "Pattern of rooms in its place, as 'team-*'.", metavar="PATTERN"),
]
TokenName = Annotated[
    str | None, option("--name", "Name that the holder has to take.", metavar="NAME")
]
May = Annotated[
    list[str],
    option(
        "--may",
        "What the holder may do: join, send, moderate; by default join and send. May be given "
        "again.",
        metavar="RIGHT",
        show_default=False,
    ),
]
Expires = Annotated[
    float,
    option("--expires", "Seconds until the token expires.", metavar="SECONDS", min=1, max=1e10),
]


# --- send and receive

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="Files and folders; - is standard input.")
]
CodeWords = Annotated[
    str, typer.Argument(metavar="CODE", help="What the sender shows, as 7-amber-falcon.")
]
Server = Annotated[
    str | None,
    option(
        "--server",
        "Signaling server, as ws://host:8080/ws; a sender without one serves by itself.",
        metavar="URL",
    ),
]
Out = Annotated[str, option("--out", "Folder to write to; - is standard output.", metavar="FOLDER")]
Yes = Annotated[bool, option("--yes", "Receive without asking.")]
Overwrite = Annotated[bool, option("--overwrite", "Replace files that are there.")]
Json = Annotated[bool, option("--json", "Print events as JSON, one a line.")]
Qr = Annotated[bool, option("--qr", "Show the command for the other side as a QR code.")]
Wait = Annotated[
    float,
    option(
        "--wait",
        "Seconds to wait for the other side, at first and after a break.",
        metavar="SECONDS",
        min=0.1,
        max=31_536_000,
    ),
]


# --- turn-config

Realm = Annotated[str, option("--realm", "Realm, usually the host name.", metavar="NAME")]
ExternalIps = Annotated[
    list[str],
    option(
        "--external-ip",
        "Public address behind a 1:1 NAT, as PUBLIC/PRIVATE. May be given again.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
TurnCertificate = Annotated[
    Path | None, option("--tls-cert", "Certificate for turns:, in PEM.", metavar="FILE")
]
TurnKey = Annotated[Path | None, option("--tls-key", "Its private key, in PEM.", metavar="FILE")]
TurnPort = Annotated[
    int, option("--port", "Port for UDP and TCP.", metavar="PORT", min=1, max=65535)
]
TurnTlsPort = Annotated[
    int, option("--tls-port", "Port for TLS.", metavar="PORT", min=1, max=65535)
]
MinPort = Annotated[
    int, option("--min-port", "Lowest port of relays.", metavar="PORT", min=1024, max=65535)
]
MaxPort = Annotated[
    int, option("--max-port", "Highest port of relays.", metavar="PORT", min=1024, max=65535)
]
UserQuota = Annotated[
    int,
    option(
        "--user-quota",
        "Allocations of one participant at a time; a call takes one for each TURN URL and IP "
        "version, and twice that during an ICE restart.",
        metavar="NUMBER",
        min=1,
        max=1_000_000,
    ),
]
TotalQuota = Annotated[
    int,
    option(
        "--total-quota", "Allocations of all at a time.", metavar="NUMBER", min=1, max=1_000_000
    ),
]
TurnRate = Annotated[
    int,
    option(
        "--max-rate",
        "Bits a second that an allocation may carry each way.",
        metavar="RATE",
        min=8_000,
        max=10_000_000_000,
    ),
]
AllowedPeers = Annotated[
    list[str],
    option(
        "--allow-peer",
        "Address or network that is relayed to although it is private. May be given again.",
        metavar="NETWORK",
        show_default=False,
    ),
]
ShowSecret = Annotated[bool, option("--show-secret", "Print the secret as well.")]
ConfigOut = Annotated[
    Path | None,
    option(
        "--out",
        "File to write to, with the secret, which only its owner may read; standard output "
        "without it.",
        metavar="FILE",
    ),
]
