"""FAULTS rows 21, 22 and 76: a download is cut, damaged, stopped before its check, or served without ranges."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "VCTK-Corpus-0.92.zip"

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server:
    """Serves ``data`` over HTTP; with ``ranges`` as most servers do, with ``cut`` only so many bytes of it."""

    def __init__(self):
        self.data, self.ranges, self.cut, self.begun_at = b"", True, None, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if outer.ranges else None
                start = int(found[1]) if found else 0
                if start >= len(outer.data):
                    self.send_error(416)
                    return
                outer.begun_at.append(start)
                self.send_response(206 if found else 200)
                if found:
                    self.send_header("Content-Range", f"bytes {start}-{len(outer.data) - 1}/{len(outer.data)}")
                self.send_header("Content-Length", str(len(outer.data) - start))
                self.end_headers()
                self.wfile.write(outer.data[start : outer.cut])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/vctk.zip"


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()


def zipped(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return path.read_bytes()


@pytest.fixture
def archive(tmp_path) -> bytes:
    members = {
        "wav48_silence_trimmed/p225/p225_001_mic1.flac": b"not really" * 1000,
        "txt/p225/p225_001.txt": b"Please call Stella.",
    }
    return zipped(tmp_path / "made.zip", members)


def download(out: Path, url: str, expected: str):
    script = os.fspath(ROOT / "egs/vctk/local/download.sh")
    options = ["--out", os.fspath(out), "--url", url, "--sha256", expected]
    return subprocess.run(
        ["bash", script, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    )


def holds(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir()) if out.exists() else []


def partial(out: Path, data: bytes) -> None:
    out.mkdir()
    (out / f"{NAME}.part").write_bytes(data)


def test_row_22_a_cut_download_resumes_and_is_unpacked_once(tmp_path, archive, server):
    server.data, server.cut = archive, len(archive) // 2
    out = tmp_path / "downloads"
    cut = download(out, server.url, sha256(archive))
    assert cut.returncode == 1
    assert f"{len(archive) // 2} bytes are there); run the same command again" in cut.stderr.splitlines()[-1]
    assert holds(out) == [f"{NAME}.part"]
    server.cut, server.begun_at = None, []
    done = download(out, server.url, sha256(archive))
    assert done.returncode == 0, done.stderr
    assert server.begun_at == [len(archive) // 2]
    assert (out / "VCTK-Corpus-0.92/txt/p225/p225_001.txt").read_text() == "Please call Stella."
    assert holds(out) == ["VCTK-Corpus-0.92", NAME]
    again = download(out, "http://127.0.0.1:9/gone.zip", "0")
    assert again.returncode == 0 and "is there already" in again.stderr


def test_row_22_a_wrong_checksum_is_reported_with_the_expected_one(tmp_path, archive, server):
    server.data = archive
    done = download(tmp_path / "downloads", server.url, "0" * 64)
    assert done.returncode == 1
    assert f"expected SHA-256 {'0' * 64}, got {sha256(archive)}" in done.stderr.splitlines()[-1]
    assert holds(tmp_path / "downloads") == [f"{NAME}.refused"]


def test_row_22_an_unreachable_archive_is_reported_with_the_command_that_resumes(tmp_path):
    url = (tmp_path / "gone.zip").as_uri()
    done = download(tmp_path / "downloads", url, "0" * 64)
    assert done.returncode == 1 and "run the same command again" in done.stderr.splitlines()[-1]


def test_row_76_a_whole_partial_file_is_hashed_before_anything_is_fetched(tmp_path, archive, server):
    server.data = archive
    partial(tmp_path / "downloads", archive)
    done = download(tmp_path / "downloads", server.url, sha256(archive))
    assert done.returncode == 0, done.stderr
    assert server.begun_at == [] and holds(tmp_path / "downloads") == ["VCTK-Corpus-0.92", NAME]


def test_row_76_a_server_without_ranges_sends_all_of_it_again(tmp_path, archive, server):
    server.data, server.ranges = archive, False
    partial(tmp_path / "downloads", archive[: len(archive) // 2])
    done = download(tmp_path / "downloads", server.url, sha256(archive))
    assert done.returncode == 0, done.stderr
    assert "the server cannot resume it; downloading all of it again" in done.stderr
    assert holds(tmp_path / "downloads") == ["VCTK-Corpus-0.92", NAME]


@pytest.mark.parametrize("length", ["shorter", "longer"])
def test_row_76_a_damaged_partial_file_is_fetched_again(tmp_path, archive, server, length):
    server.data = archive
    partial(tmp_path / "downloads", b"?" * 100 if length == "shorter" else b"?" * 2 * len(archive))
    done = download(tmp_path / "downloads", server.url, sha256(archive))
    assert done.returncode == 0, done.stderr
    assert "downloading all of it again" in done.stderr and server.begun_at[-1] == 0
    assert holds(tmp_path / "downloads") == ["VCTK-Corpus-0.92", NAME]


def test_row_76_a_stop_while_unpacking_begins_unpacking_again(tmp_path, archive):
    out = tmp_path / "downloads"
    (out / "VCTK-Corpus-0.92.partial").mkdir(parents=True)
    (out / NAME).write_bytes(archive)
    (out / "VCTK-Corpus-0.92.partial/mine").touch()
    foreign = download(out, "http://127.0.0.1:9/gone.zip", sha256(archive))
    assert foreign.returncode == 1 and "is not of this download; move it away" in foreign.stderr
    assert (out / "VCTK-Corpus-0.92.partial/mine").exists()
    (out / "VCTK-Corpus-0.92.partial/.unpacking").touch()
    done = download(out, "http://127.0.0.1:9/gone.zip", sha256(archive))
    assert done.returncode == 0 and "unpacking begins again" in done.stderr
    assert sorted(path.name for path in (out / "VCTK-Corpus-0.92").iterdir()) == ["txt", "wav48_silence_trimmed"]


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt"])
def test_row_21_an_unsafe_member_is_refused_and_nothing_is_unpacked(tmp_path, server, name):
    server.data = zipped(tmp_path / "made.zip", {"good.txt": b"1", name: b"2"})
    done = download(tmp_path / "downloads", server.url, sha256(server.data))
    assert done.returncode == 1 and f"unsafe member '{name}'" in done.stderr.splitlines()[-1]
    assert holds(tmp_path / "downloads") == [NAME] and holds(tmp_path) == ["downloads", "made.zip"]


def test_a_missing_torchaudio_names_the_extra():
    code = "import sys; sys.modules['torchaudio'] = None; sys.argv = ['x', 'out']; exec(open('torchaudio_download.py').read())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "egs/vctk/local", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "vqvc[torchaudio]" in done.stderr and "Traceback" not in done.stderr
