"""Fixtures that several parts of the tests share."""

import inspect
import os
import platform
import random
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType

import numpy as np
import pytest
import torch
from hypothesis import settings
from model_fixtures import call_command, make_model, model_file, unit  # noqa: F401 (fixtures)
from stub_recipe import recipe  # noqa: F401 (a fixture)

if not torch.cuda.is_available():  # before Triton is imported: its kernels are then interpreted, on CPU tensors
    os.environ["TRITON_INTERPRET"] = "1"

# drawn cases are the same in every run: a test that fails, fails for whoever runs it next
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
STARTERS = {"subprocess", "Popen", "fork", "Process", "ProcessPoolExecutor"}
THREADS = 1  # these tensors are too small to share out, and sums over threads would round by the number of cores
torch.set_num_threads(THREADS)  # now, so that fixtures of modules and of the session find it too


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker of what the quick tests, -m "not slow", leave out: they end within two minutes on two cores."""
    config.addinivalue_line(
        "markers", "slow: starts processes, compiles kernels, synthesizes a corpus, or makes or judges much speech"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The processor, and which of its units the tests of the sampling loop ran on."""
    from vqvc.engine.cpu.units import available

    terminalreporter.write_line(f"processor: {_processor()}; units of the sampling loop: {', '.join(available())}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes are slow: those that do so themselves, in their fixtures or in helpers among the tests."""
    for item in items:
        fixtures = [fixture.func for of_name in item._fixtureinfo.name2fixturedefs.values() for fixture in of_name]
        if any(_starts_processes(function) for function in (getattr(item, "function", None), *fixtures) if function):
            item.add_marker("slow")


@cache
def _starts_processes(function: Callable) -> bool:
    """Whether a function of the tests, or one of them that it calls, names what starts a process."""
    seen, pending = set(), [inspect.unwrap(function)]
    while pending:
        current = pending.pop()
        code = getattr(current, "__code__", None)
        if code is None or code in seen or TESTS not in Path(code.co_filename).parents:
            continue
        seen.add(code)
        names = set().union(*(each.co_names for each in _nested(code)))
        if names & STARTERS:
            return True
        pending += [inspect.unwrap(current.__globals__[name]) for name in names if name in current.__globals__]
    return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A quick test, its fixtures among it, starts no process by way of the package either: that is an error."""

    def refuse(process: BaseProcess) -> None:
        pytest.fail(f"a quick test starts a process ({process.name}); mark it slow")

    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("slow") is None:
            patch.setattr(BaseProcess, "start", refuse)
        return (yield)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


_seed()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """One thread and the same random numbers, whatever ran before; threads, environment and current folder are put back."""

    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}

    _seed()
    folder, before = Path.cwd(), environment()
    yield
    torch.set_num_threads(THREADS)
    os.chdir(folder)
    after = environment()
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    _seed()


@pytest.fixture(scope="session")
def shared_speech() -> Path:
    """The folder of real speech: VQVC_SPEECH, or shared/speech beside the repository or further up; skips without it."""
    named = os.environ.get("VQVC_SPEECH")
    if named and not Path(named).is_dir():
        pytest.fail(f"VQVC_SPEECH={named}: no such folder")
    for path in [Path(named)] if named else [folder / "shared" / "speech" for folder in ROOT.parents]:
        if path.is_dir():
            return path
    pytest.skip("needs real speech at ../shared/speech, or where VQVC_SPEECH says")


@pytest.fixture(scope="session")
def speechlike() -> Callable[..., np.ndarray]:
    """speechlike(seconds, rate=16000, seed=0, silence_s=0.3): a buzz of moving pitch and loudness between two silences."""

    def make(seconds: float, rate: int = 16000, seed: int = 0, silence_s: float = 0.3) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time_s = np.arange(int(seconds * rate)) / rate
        pitch_hz = 120 + 40 * rng.random() + 20 * np.sin(2 * np.pi * (0.7 + rng.random()) * time_s)
        phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
        buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
        syllables = 0.3 + 0.7 * np.sin(2 * np.pi * 2 * time_s + rng.random()) ** 2
        quiet = np.zeros(int(silence_s * rate))
        speech = np.concatenate([quiet, 0.1 * buzz * syllables, quiet])
        return (speech + 1e-5 * rng.standard_normal(len(speech))).astype(np.float32)

    return make


@pytest.fixture
def vctk_layout(tmp_path, speechlike) -> Callable[..., Path]:
    """vctk_layout("0.92", {"p225": 3, ...}, skip={"p280_001_mic2", ...}): a small corpus in a release's own layout."""
    import soundfile

    sentences = ("Please call Stella.", "Ask her to bring these things.", "Six spoons of fresh snow peas.")

    def make(layout: str, speakers: dict[str, int], skip: frozenset[str] = frozenset()) -> Path:
        root = tmp_path / f"VCTK-{layout}"
        for number, (speaker, count) in enumerate(speakers.items()):
            for n in range(1, count + 1):
                utt_id = f"{speaker}_{n:03d}"
                samples = speechlike(0.6, 48000, seed=100 * number + n, silence_s=0.1)
                samples = np.rint(samples * 32767).astype(np.int16)  # WAV and FLAC would round floats differently
                names = (
                    [f"wav48/{speaker}/{utt_id}.wav"]
                    if layout == "0.80"
                    else [f"wav48_silence_trimmed/{speaker}/{utt_id}_{mic}.flac" for mic in ("mic1", "mic2")]
                )
                for name in names:
                    if Path(name).stem not in skip:
                        (root / name).parent.mkdir(parents=True, exist_ok=True)
                        soundfile.write(root / name, samples, 48000)
                if f"{utt_id}.txt" not in skip:
                    text = root / "txt" / speaker / f"{utt_id}.txt"
                    text.parent.mkdir(parents=True, exist_ok=True)
                    text.write_text(sentences[n - 1] if n <= 3 else f"{speaker} says number {n}.", encoding="utf-8")
        p = "" if layout == "0.80" else "p"
        lines = [f"{p}{name[1:]}  23  F    English    Southern  England" for name in speakers if name.startswith("p")]
        (root / "speaker-info.txt").write_text("\n".join(["ID  AGE  GENDER  ACCENTS  REGION", *lines]) + "\n")
        return root

    return make
