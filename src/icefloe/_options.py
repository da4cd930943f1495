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


def _option(flag: str, help: str, **more: Any) -> Any:
    # --tls-cert is ICEFLOE_TLS_CERT. The help explains this once, not for each option.
    name = flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return typer.Option(flag, envvar=f"ICEFLOE_{name}", show_envvar=False, help=help, **more)


def _file(flag: str, help: str) -> Any:
    return _option(flag, help, metavar="FILE", exists=True, dir_okay=False, readable=True)


Host = Annotated[
    str, _option("--host", "Address to listen at; 0.0.0.0 for all there are.", metavar="ADDRESS")
]
Port = Annotated[
    int, _option("--port", "TCP port; 0 takes a free one.", metavar="PORT", min=0, max=65535)
]
Level = Annotated[
    LogLevel,
    _option(
        "--log-level",
        f"How much is logged: {', '.join(LogLevel)}.",
        metavar="LEVEL",
        case_sensitive=False,
    ),
]
Certificate = Annotated[Path | None, _file("--tls-cert", "Certificate for https, in PEM.")]
Key = Annotated[
    Path | None, _file("--tls-key", "Its private key, in PEM, unless it is in the same file.")
]
SelfSigned = Annotated[
    bool,
    _option(
        "--tls-self-signed",
        "Make a certificate for localhost and the addresses of this machine, and keep it.",
    ),
]
IceUrls = Annotated[
    list[str],
    _option(
        "--ice-server",
        "STUN or TURN server for everybody, as stun:host or turn:host?transport=tcp. May be given "
        "again; in the variable, spaces are in between.",
        metavar="URL",
        show_default=False,
    ),
]
IceUsername = Annotated[
    str | None, _option("--ice-username", "User name for the TURN servers.", metavar="NAME")
]
IceCredential = Annotated[
    str | None,
    _option(
        "--ice-credential",
        "Password for the TURN servers; the variable keeps it out of the list of processes.",
        metavar="PASSWORD",
    ),
]
TurnSecretFile = Annotated[
    Path | None,
    _file(
        "--turn-secret-file",
        "File with the secret that the TURN servers know (coturn's static-auth-secret): each "
        "participant gets credentials of its own, which expire. A second line is the secret before "
        "it. Without the file, the variable ICEFLOE_TURN_SECRET may have the secret.",
    ),
]
TurnLifetime = Annotated[
    int,
    _option(
        "--turn-lifetime",
        "Seconds that these credentials hold; they are renewed before that.",
        metavar="SECONDS",
        min=300,
        max=3600,
    ),
]
Origins = Annotated[
    list[str],
    _option(
        "--allowed-origin",
        "Whose pages may connect beside this server's own, as https://example.org. May be given "
        "again.",
        metavar="ORIGIN",
        show_default=False,
    ),
]
Hosts = Annotated[
    list[str],
    _option(
        "--allowed-host",
        "A name by which this server is reached, such as call.example.org or *.example.org; needed "
        "behind a proxy, and for any name but this machine's. * is every name. May be given again.",
        metavar="NAME",
        show_default=False,
    ),
]
PerAddress = Annotated[
    bool,
    _option(
        "--address-limits/--no-address-limits",
        "Whether one network address may take only a part of the connections, seats and rooms. "
        "Behind a proxy all have its address: there it is the proxy's to limit them.",
    ),
]
WebhookUrls = Annotated[
    list[str],
    _option(
        "--webhook",
        "URL that joins and leaves are posted to, signed. May be given again; in the variable, "
        "spaces are in between.",
        metavar="URL",
        show_default=False,
    ),
]
WebhookSecretFile = Annotated[
    Path | None,
    _file(
        "--webhook-secret-file",
        "File with the secret that webhooks are signed with, as `openssl rand -base64 32` makes "
        "it. A second line is the secret before it. Without the file, the variable "
        "ICEFLOE_WEBHOOK_SECRET may have the secret.",
    ),
]
RoomName = Annotated[str, _option("--room", "Room in which the participant waits.", metavar="ROOM")]
Name = Annotated[str, _option("--name", "Name of the participant.", metavar="NAME")]
Play = Annotated[
    Path | None, _file("--play", "What /play plays; without it a test pattern and a tone.")
]
UdpPort = Annotated[
    int | None,
    _option(
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
    _option(
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
    _option(
        "--external-address",
        "What others see as the address of this machine, as 203.0.113.4; one for IPv4 and one for "
        "IPv6.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
Browser = Annotated[bool, _option("--browser/--no-browser", "Open the page in a browser.")]

# --- who may enter

TokenSecretFile = Annotated[
    Path | None,
    _file(
        "--token-secret-file",
        "Keys of join tokens: secrets of at least 32 characters, one a line, or Ed25519 keys in "
        "PEM. The first one signs, all verify. ICEFLOE_TOKEN_SECRET may have them in its place.",
    ),
]
TokenAudience = Annotated[
    str | None,
    _option("--token-audience", "Server that tokens have to be for.", metavar="NAME"),
]
Open = Annotated[
    bool,
    _option(
        "--open/--no-open",
        "Admit everybody without a token, also where other machines reach the server.",
    ),
]
FirstModerates = Annotated[
    bool,
    _option(
        "--first-moderates/--no-first-moderates",
        "Without tokens: whoever enters a room first may remove others, lock and close it.",
    ),
]


class ProxyHeaderKind(StrEnum):
    """The header in which reverse proxies name their client."""

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"


ProxyHeaders = Annotated[
    ProxyHeaderKind | None,
    _option(
        "--proxy-headers",
        "Header in which the reverse proxy names its client: x-forwarded-for or forwarded.",
        metavar="HEADER",
        case_sensitive=False,
    ),
]
TrustedProxies = Annotated[
    list[str],
    _option(
        "--trusted-proxy",
        "Network of the reverse proxies whose header is believed, as 10.0.0.0/8; by default this "
        "machine. May be given again.",
        metavar="NETWORK",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    _file(
        "--token-file",
        "Token to join with; it is read again for each connection. ICEFLOE_TOKEN may have the "
        "token in its place.",
    ),
]
TokenRoom = Annotated[str | None, _option("--room", "Room that the token is for.", metavar="ROOM")]
TokenRooms = Annotated[
    str | None,
    _option("--rooms", "Pattern of rooms in its place, as 'team-*'.", metavar="PATTERN"),
]
TokenName = Annotated[
    str | None, _option("--name", "Name that the holder has to take.", metavar="NAME")
]
May = Annotated[
    list[str],
    _option(
        "--may",
        "What the holder may do: join, send, moderate; by default join and send. May be given "
        "again.",
        metavar="RIGHT",
        show_default=False,
    ),
]
Expires = Annotated[
    float,
    _option("--expires", "Seconds until the token expires.", metavar="SECONDS", min=1, max=1e10),
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
    _option(
        "--server",
        "Signaling server, as ws://host:8080/ws; a sender without one serves by itself.",
        metavar="URL",
    ),
]
Out = Annotated[
    str, _option("--out", "Folder to write to; - is standard output.", metavar="FOLDER")
]
Yes = Annotated[bool, _option("--yes", "Receive without asking.")]
Overwrite = Annotated[bool, _option("--overwrite", "Replace files that are there.")]
Json = Annotated[bool, _option("--json", "Print events as JSON, one a line.")]
Qr = Annotated[bool, _option("--qr", "Show the command for the other side as a QR code.")]
Wait = Annotated[
    float,
    _option(
        "--wait",
        "Seconds to wait for the other side, at first and after a break.",
        metavar="SECONDS",
        min=0.1,
        max=31_536_000,
    ),
]


# --- turn-config

Realm = Annotated[str, _option("--realm", "Realm, usually the host name.", metavar="NAME")]
ExternalIps = Annotated[
    list[str],
    _option(
        "--external-ip",
        "Public address behind a 1:1 NAT, as PUBLIC/PRIVATE. May be given again.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
TurnCertificate = Annotated[
    Path | None, _option("--tls-cert", "Certificate for turns:, in PEM.", metavar="FILE")
]
TurnKey = Annotated[Path | None, _option("--tls-key", "Its private key, in PEM.", metavar="FILE")]
TurnPort = Annotated[
    int, _option("--port", "Port for UDP and TCP.", metavar="PORT", min=1, max=65535)
]
TurnTlsPort = Annotated[
    int, _option("--tls-port", "Port for TLS.", metavar="PORT", min=1, max=65535)
]
MinPort = Annotated[
    int, _option("--min-port", "Lowest port of relays.", metavar="PORT", min=1024, max=65535)
]
MaxPort = Annotated[
    int, _option("--max-port", "Highest port of relays.", metavar="PORT", min=1024, max=65535)
]
UserQuota = Annotated[
    int,
    _option(
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
    _option(
        "--total-quota", "Allocations of all at a time.", metavar="NUMBER", min=1, max=1_000_000
    ),
]
TurnRate = Annotated[
    int,
    _option(
        "--max-rate",
        "Bits a second that an allocation may carry each way.",
        metavar="RATE",
        min=8_000,
        max=10_000_000_000,
    ),
]
AllowedPeers = Annotated[
    list[str],
    _option(
        "--allow-peer",
        "Address or network that is relayed to although it is private. May be given again.",
        metavar="NETWORK",
        show_default=False,
    ),
]
ShowSecret = Annotated[bool, _option("--show-secret", "Print the secret as well.")]
ConfigOut = Annotated[
    Path | None,
    _option(
        "--out",
        "File to write to, with the secret, which only its owner may read; standard output "
        "without it.",
        metavar="FILE",
    ),
]
