"""What keeps other sites away from a server on this machine, and the page from other sites."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every response."""


class Guard:
    """Refuses requests that pages of other sites make a browser send, and adds `HEADERS` to every response.

    A site whose name leads to this machine (DNS rebinding) is known by the ``Host`` of its requests, another page by
    the ``Origin`` of what it sends. Programs other than browsers send no origin.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif refusal := _refuse(scope["method"], Headers(scope=scope)):
            await JSONResponse({"error": refusal}, 403)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)


def _refuse(method: str, headers: Headers) -> str | None:
    """Return why a request is refused."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in ("127.0.0.1", "localhost") and host not in ("127.0.0.1", "localhost"):
        return "This server answers only to 127.0.0.1 and localhost."
    changes = method not in ("GET", "HEAD")
    if changes and headers.get("origin", f"http://{host}") != f"http://{host}":
        return "Only the page of this server may send photos to it."
    return None
