"""FAULTS rows 21 and 22: a cut download goes on, a wrong checksum is told with both values, nothing is left half unpacked."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


def download(out, archive, sha256):
    script = os.fspath(ROOT / "egs/vctk/local/download.sh")
    options = ["--out", os.fspath(out), "--url", archive.as_uri(), "--sha256", sha256]
    return subprocess.run(["bash", script, *options], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "server" / "vctk.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("wav48_silence_trimmed/p225/p225_001_mic1.flac", b"not really" * 1000)
        opened.writestr("txt/p225/p225_001.txt", "Please call Stella.")
    return path


def test_a_cut_download_goes_on_and_is_unpacked_once(tmp_path, archive):
    data = archive.read_bytes()
    out = tmp_path / "downloads"
    out.mkdir()
    (out / "VCTK-Corpus-0.92.zip.part").write_bytes(data[: len(data) // 2])
    done = download(out, archive, hashlib.sha256(data).hexdigest())
    assert done.returncode == 0, done.stderr
    assert (out / "VCTK-Corpus-0.92/txt/p225/p225_001.txt").read_text() == "Please call Stella."
    assert sorted(path.name for path in out.iterdir()) == ["VCTK-Corpus-0.92", "VCTK-Corpus-0.92.zip"]
    again = download(out, tmp_path / "gone.zip", "0")
    assert again.returncode == 0 and "is there already" in again.stderr


def test_a_wrong_checksum_says_expected_and_got(tmp_path, archive):
    done = download(tmp_path / "downloads", archive, "0" * 64)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"expected SHA-256 {'0' * 64}, got {hashlib.sha256(archive.read_bytes()).hexdigest()}" in last
    assert not (tmp_path / "downloads/VCTK-Corpus-0.92").exists()


def test_an_unreachable_archive_says_that_the_same_command_goes_on(tmp_path, archive):
    done = download(tmp_path / "downloads", archive.with_name("gone.zip"), "0" * 64)
    assert done.returncode == 1 and "run the same command again" in done.stderr.splitlines()[-1]


def test_a_missing_torchaudio_names_the_extra(tmp_path):
    code = "import sys; sys.modules['torchaudio'] = None; sys.argv = ['x', 'out']; exec(open('torchaudio_download.py').read())"
    done = subprocess.run(
        ["python", "-c", code], cwd=ROOT / "egs/vctk/local", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "vqvc[torchaudio]" in done.stderr and "Traceback" not in done.stderr
