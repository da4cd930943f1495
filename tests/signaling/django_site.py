"""A site of Django, which keeps its sessions in signed cookies, with the call page below /call."""

from collections.abc import MutableMapping
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from icefloe.signaling import SignalingApp


def _home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"home")


urlpatterns = [path("", _home)]


def configure() -> None:
    """Make the settings of the site those of this process."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            LOGGING_CONFIG=None,
            MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
            ROOT_URLCONF=__name__,
            SECRET_KEY="s" * 50,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        )
        django.setup()


def mounting(signaling: SignalingApp) -> Any:
    """Return the ASGI application of the site."""
    configure()
    site: Any = get_asgi_application()

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await signaling(scope, receive, send)  # Django takes no lifespan events
        elif scope["path"].startswith("/call/"):
            root_path = f"{scope.get('root_path', '')}/call"
            await signaling({**scope, "root_path": root_path}, receive, send)
        else:
            await site(scope, receive, send)

    return application
