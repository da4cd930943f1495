"""An application for ASGI servers that run as programs: ``uvicorn tests.signaling.served:app``."""

from icefloe.signaling import ServerConfiguration, SignalingApp

app = SignalingApp(ServerConfiguration(shutdown_timeout=1.0))
