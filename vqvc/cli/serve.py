"""vqvc-serve: a local page that converts recordings."""

import argparse
import logging

from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.serve")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-serve."""
    p = parser(
        "Serve a page on this machine: upload or record, choose a voice or enroll one, convert, play and download the result.\n"
        "Its address is printed; Ctrl-C ends it. Nothing is fetched from the network, nothing is sent to it.",
        examples="  vqvc-serve                                  (then open http://127.0.0.1:7860)\n"
        "  vqvc-serve --open --port 8000\n"
        "  vqvc-serve --model egs/vctk/exp/small/model.safetensors",
    )
    add_model(p)
    p.add_argument("--host", default="127.0.0.1", help="address to serve on; 127.0.0.1 is this machine alone")
    p.add_argument("--port", type=int, default=7860, help="port; 0 takes any that is free")
    p.add_argument("--max-seconds", type=float, default=120.0, help="longest recording that is taken")
    p.add_argument("--max-mb", type=float, default=50.0, help="largest upload that is taken, in megabytes")
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    return p


def work(args: argparse.Namespace) -> None:
    """Serve."""
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: give a port from 0 to 65535")
    for name, value in (("seconds", args.max_seconds), ("mb", args.max_mb)):
        if not 0 < value <= 100_000:
            raise UsageError(f"--max-{name} {value:g}: must be above 0 and at most 100000")
    from vqvc.serve import guard, server
    from vqvc.serve.service import MB, Limits

    def started(address: str) -> None:
        print(address, flush=True)
        if args.host not in guard.LOOPBACK:
            logger.warning(
                "--host %s: whoever reaches this machine can use the page, without a password; browsers on other machines give it no "
                "microphone without https",
                args.host,
            )
        if args.open:
            import webbrowser

            webbrowser.open(address)

    server.serve(args.model, Limits(args.max_seconds, int(args.max_mb * MB)), args.host, args.port, started)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
