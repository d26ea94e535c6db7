"""What stands between the network and the page: which requests reach Gradio.

Gradio serves more than the page needs, and where it is mounted in another application, as here, it takes any path of this machine or
of the network for an upload. So requests are refused that come under a foreign name or from another site's page, that ask for what
the page has no use for, and that name a file outside the server's folder of temporary files.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
# Where the page may load from: this server, and what it holds itself. Gradio's own code makes functions of text.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
UPLOAD = "/gradio_api/upload"
EVENTS = ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset")  # take JSON
LARGEST_EVENT = 1 << 20  # bytes; what the page sends has some hundred
READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware: refuses what the page does not send, and adds the policy to answers.

    only_loopback: refuse other names than loopback's, for a page of another site that has its own name resolved to this machine would
    otherwise pass for ours; False where the server is meant to be reached by other names. folder: of temporary files.
    """

    def __init__(self, app: Any, only_loopback: bool, folder: Path):
        self.app, self.only_loopback, self.folder = app, only_loopback, folder.resolve()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        reason = self._reason(scope)
        if reason is None and scope["path"].rstrip("/") in EVENTS:
            body = await _body(receive)
            reason, receive = self._reason_of_event(body), _replayed(body, receive)
        if reason is not None:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            return await send({"type": "http.response.body", "body": reason.encode()})

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message["headers"], *policy]}
            await send(message)

        await self.app(scope, receive, guarded)

    def _reason(self, scope: Any) -> str | None:
        """Why a request is refused, by its head; None for one that is not."""
        headers = dict(scope["headers"])
        name = re.sub(r":\d+$", "", headers.get(b"host", b"").decode("latin-1"))
        if self.only_loopback and name not in LOOPBACK:
            return "open the page by its own address"
        if scope["method"] in READING:
            return None
        if headers.get(b"sec-fetch-site") == b"cross-site":
            return "the page of another site may not use this server"
        return None if scope["path"].rstrip("/") in (UPLOAD, *EVENTS) else "the page has no use for this"

    def _reason_of_event(self, body: bytes | None) -> str | None:
        if body is None:
            return "larger than anything that the page sends"
        try:
            paths = list(_paths(json.loads(body)))
        except (ValueError, RecursionError):
            return "not JSON"
        return None if all(map(self._is_ours, paths)) else "not a file that was uploaded here"

    def _is_ours(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.folder)
        except (OSError, ValueError, RuntimeError):
            return False


def _paths(value: Any) -> Iterator[str]:
    """Every ``path`` in a value of JSON, at any depth: so Gradio names the files of its parts."""
    if isinstance(value, dict):
        if "path" in value and value["path"] is not None:
            yield str(value["path"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _paths(item)


async def _body(receive: Any) -> bytes | None:
    """The body of a request; None for one that is too large."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_EVENT:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


def _replayed(body: bytes | None, receive: Any) -> Any:
    """A ``receive`` that gives the body again, then what follows it."""
    rest = iter([{"type": "http.request", "body": body or b"", "more_body": False}])

    async def again() -> Any:
        return next(rest, None) or await receive()

    return again
