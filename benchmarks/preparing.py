"""How fast a corpus is prepared and packed, against nothing but decoding and resampling it, in one run.

    python benchmarks/preparing.py CORPUS [--copies 4] [--jobs 2] [--repeats 3]

CORPUS is anything that vqvc-prepare takes. Prints seconds, times real time and the ratio to the limit; ``limit`` decodes
and resamples every recording on the same number of threads and keeps nothing. Core seconds are a better measure than the clock on
a machine that has other work. Peak memory is of the whole process.
"""

import argparse
import contextlib
import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr

from vqvc._util.platform import peak_memory_bytes
from vqvc.cli import pack, prepare
from vqvc.corpus.prepare import read_source


def decode_and_resample(path: Path) -> float:
    """The least that any packing has to do; seconds of sound."""
    samples, rate = soundfile.read(path, dtype="float32")
    soxr.resample(samples, rate, 16000, "HQ")
    return len(samples) / rate


def copied(source: Path, copies: int, target: Path) -> Path:
    """A Kaldi directory that names every recording ``copies`` times, as other utterances."""
    items = read_source(source).items
    rows = sorted(
        (f"{item.speaker}_c{n}_{item.utt_id}", item.path.resolve(), item.speaker)
        for item in items
        for n in range(copies)
    )
    target.mkdir()
    (target / "wav.scp").write_text("".join(f"{utt_id} {path}\n" for utt_id, path, _ in rows))
    (target / "utt2spk").write_text("".join(f"{utt_id} {speaker}\n" for utt_id, _, speaker in rows))
    return target


def timed(work) -> tuple[np.ndarray, object]:
    """(seconds by the clock, seconds of all cores), and what ``work`` returned."""
    begin, begin_cores = time.perf_counter(), time.process_time()
    result = work()
    return np.array([time.perf_counter() - begin, time.process_time() - begin_cores]), result


def quiet(main, *options: str) -> None:
    """Run a command; stop the benchmark when it fails."""
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(list(options))
    if status not in (0, 3):
        raise SystemExit(status)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--copies", type=int, default=4, help="times that each recording is packed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the best counts")
    args = parser.parse_args()
    best = {key: np.array([np.inf, np.inf]) for key in ("limit", "prepare", "pack", "prepare + pack")}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        source = copied(args.corpus, args.copies, base / "source")
        paths = [item.path for item in read_source(source).items]
        for number in range(args.repeats):
            with ThreadPoolExecutor(args.jobs) as pool:
                limit_s, lengths_s = timed(lambda pool=pool: list(pool.map(decode_and_resample, paths)))
            data, dump, jobs = str(base / f"data{number}"), str(base / f"dump{number}"), str(args.jobs)
            prepare_s, _ = timed(
                lambda data=data, jobs=jobs: quiet(prepare.main, "--source", str(source), "--out", data, "--jobs", jobs)
            )
            pack_s, _ = timed(
                lambda data=data, dump=dump, jobs=jobs: quiet(pack.main, "--data", data, "--out", dump, "--jobs", jobs)
            )
            for key, seconds in (
                ("limit", limit_s),
                ("prepare", prepare_s),
                ("pack", pack_s),
                ("prepare + pack", prepare_s + pack_s),
            ):
                best[key] = np.minimum(best[key], seconds)
    total_s = sum(lengths_s)
    print(f"{len(paths)} utterances, {total_s / 60:.1f} min, {args.jobs} threads, best of {args.repeats}")
    print(f"{'':16}{'seconds':>10}{'x real time':>13}{'of the limit':>14}{'core seconds':>14}{'of the limit':>14}")
    for key, (seconds, core_s) in best.items():
        ratios = best["limit"] / (seconds, core_s)
        print(f"{key:16}{seconds:10.2f}{total_s / seconds:13.0f}{ratios[0]:14.2f}{core_s:14.2f}{ratios[1]:14.2f}")
    print(f"peak memory {(peak_memory_bytes() or 0) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
