"""The server of the page: one port, one folder of temporary files, and nothing that leaves the machine."""

import errno
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vqvc._util import extras, platform
from vqvc.errors import FileError, UsageError
from vqvc.serve import page
from vqvc.serve.guard import LOOPBACK, Guard
from vqvc.serve.service import Limits, Service

logger = logging.getLogger("vqvc.serve")

HERE = Path(__file__).parent
PREFIX = "vqvc-serve-"  # of the folder of temporary files
LOCK = ".lock"  # in that folder, while its server runs
EVERYWHERE = ("", "0.0.0.0", "::")  # hosts that mean all addresses of this machine
KEPT_S, SWEEP_S = 3600.0, 60.0  # files are removed after so long; looked for so often


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises UsageError for a port that is in use and an address that is none of this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror:
        raise UsageError(f"--host {host}: is no address; 127.0.0.1 is this machine alone") from None
    except PermissionError:
        raise UsageError(f"--port {port}: the system does not allow it; give one above 1023") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: is in use on {host}; give another, or 0 for any that is free") from None
        raise UsageError(f"--host {host}: {os.strerror(error.errno or 0)}; 127.0.0.1 is this machine alone") from None


def address_of(host: str, port: int) -> str:
    """Where a browser finds the server; where it listens on all addresses of this machine, the one that others see."""
    if host in EVERYWHERE:
        host = _outward() or LOOPBACK[0]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _outward() -> str | None:
    """This machine's address in its network; None without one. Nothing is sent: connecting by UDP only chooses a route."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # kept for documentation
        return str(probe.getsockname()[0])
    return None


@contextmanager
def temporary_folder(root: str | Path | None = None) -> Iterator[Path]:
    """A folder for uploads and results, removed at the end, however it comes; what a killed server left is removed at the next
    start. root: where it is made; the system's place for temporary files when None."""
    root = Path(root or tempfile.gettempdir())
    for left in root.glob(f"{PREFIX}*"):
        with suppress(OSError, platform.LockedError):
            platform.Lock(left / LOCK).close()
            shutil.rmtree(left)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root)).resolve()
    except OSError as error:
        raise FileError(f"{root}: {error.strerror}; set TMPDIR to a folder that is writable", error.errno) from None
    try:
        with platform.Lock(folder / LOCK):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, before: float) -> None:
    """Remove files that were last written ``before`` that time (of time.time()), and folders that have been empty since then."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):  # a folder that is not empty, what somebody else removed
            if path.stat().st_mtime < before and not path.name.startswith(LOCK):
                path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def _swept(folder: Path) -> Iterator[None]:
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(SWEEP_S):
            sweep(folder, time.time() - KEPT_S)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def make_app(service: Service, folder: Path, host: str = LOOPBACK[0]) -> Any:
    """The ASGI application. folder: of temporary files; host: what it is served on."""
    gr = page.load_gradio(folder)
    app = gr.mount_gradio_app(
        extras.load("fastapi", "serve").FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page.build(service, gr, folder),
        path="/",
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=(HERE / "style.css").read_text(encoding="utf-8"),
        head=f"<script>{(HERE / 'script.js').read_text(encoding='utf-8')}</script>",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        max_file_size=service.limits.largest_bytes,
        enable_monitoring=False,
        pwa=False,
    )
    app.add_middleware(Guard, only_loopback=host in LOOPBACK, folder=folder)
    return app


def serve(model: str | Path, limits: Limits, host: str, port: int, started: Callable[[str], object]) -> None:
    """Serve the page until a signal ends it. started: called with its address once it answers."""
    uvicorn = extras.load("uvicorn", "serve")
    with listen(host, port) as listening, temporary_folder() as folder, _swept(folder):
        logger.info("starting; the address follows when the model is read")
        page.load_gradio(folder)  # where it is absent, this fails before a model is read
        service = Service(model, limits)
        service.warm_up()
        config = uvicorn.Config(
            make_app(service, folder, host), log_config=None, access_log=False, timeout_graceful_shutdown=2, ws="none"
        )
        server = uvicorn.Server(config)

        def end(*signalled: Any) -> None:
            service.turns.close()
            uvicorn.Server.handle_exit(server, *signalled)

        server.handle_exit = end
        cut = logging.getLogger("uvicorn.error")  # what it logs of connections that it cuts at the end is no fault
        cut.addFilter(lambda record: not server.should_exit)
        address = address_of(host, listening.getsockname()[1])

        def announce() -> None:
            while not server.started and not server.should_exit:
                time.sleep(0.05)
            if server.started:
                started(address)

        threading.Thread(target=announce, daemon=True).start()
        try:
            server.run(sockets=[listening])
        finally:
            service.turns.close()  # also where no signal ended it
