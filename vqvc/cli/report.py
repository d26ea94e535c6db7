"""vqvc-report: one HTML page with audio, a picture, and a section of RESULTS.md."""

import argparse
import logging
from pathlib import Path

from vqvc.cli import _outputs
from vqvc.cli._common import parser, run
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.report")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-report."""
    result = parser(
        "Make one self-contained HTML page of what lies in a run's folder (probe/, eval/, log.jsonl, config.yaml): sound, "
        "spectrograms, codes, figures. Opens from disk, loads nothing.",
        examples="  vqvc-report egs/vctk/exp/small\n"
        "  vqvc-report --exp exp/small --out exp/small/report.html\n"
        "  vqvc-report --exp exp/small --out r.html --results RESULTS.md --command 'bash egs/vctk/run.sh --conf small'",
    )
    result.add_argument("run", nargs="?", type=Path, help="folder of the run; the page is report.html in it")
    result.add_argument("--exp", type=Path, help="folder of the run")
    result.add_argument("--out", type=Path, help="the HTML file")
    result.add_argument("--title", default="", help="heading of the page and of the section in RESULTS.md")
    result.add_argument("--results", type=Path, help="a Markdown file in which this run's section is replaced or added")
    result.add_argument(
        "--command", default="", help="the command that made the run, for --results; otherwise the one given before"
    )
    result.add_argument("--no-picture", action="store_true", help="do not write summary.png beside the page")
    result.add_argument("--overwrite", action="store_true", help="replace an earlier page")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Write the page, the picture and, when asked, the section of RESULTS.md."""
    if (args.run is None) == (args.exp is None):
        raise UsageError("give the folder of a run, as in vqvc-report egs/vctk/exp/small")
    args.exp = args.exp or args.run
    args.out = args.out or args.exp / "report.html"
    picture = args.out.parent / "summary.png"
    for path in (args.out, *([] if args.no_picture else [picture])):
        _outputs.check_output(path, args.overwrite)
    if args.results:
        _outputs.check_output(args.results, overwrite=True)  # other sections stay
    from vqvc._util.atomic import write_text
    from vqvc.errors import MissingExtraError
    from vqvc.evaluation import report, tables
    from vqvc.evaluation.run_folder import RunFolder

    found = RunFolder.read(args.exp)
    write_text(args.out, report.html_report(found, args.title))
    print(args.out)
    if not args.no_picture:
        try:
            if report.summary_picture(found, picture):
                print(picture)
        except MissingExtraError as error:
            logger.warning("summary.png left out: %s", error)
    if args.results:
        earlier = _earlier(args.results)
        command = args.command or tables.command_of(earlier, found.tag)
        section = tables.results_section(found, args.title or found.tag, command)
        write_text(args.results, tables.put_section(earlier, found.tag, section))
        print(args.results)


def _earlier(path: Path) -> str:
    """The Markdown that is there, or nothing."""
    from vqvc.errors import VqvcError

    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise VqvcError(f"{path}: is not UTF-8 text, and is left as it is; give another --results") from None


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
