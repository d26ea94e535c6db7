"""The server: its port, its temporary files, and who may reach it."""

import asyncio
import os
import socket
import time

import pytest

from vqvc._util import platform
from vqvc.cli import serve
from vqvc.errors import FileError, UsageError
from vqvc.serve import server


def test_a_port_that_is_in_use_is_one_sentence(capsys, caplog, model_file):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: is in use on 127.0.0.1; give another"):
            server.listen("127.0.0.1", port)
        pytest.importorskip("uvicorn", reason="needs uvicorn (extra serve)")
        assert serve.main(["--port", str(port), "--model", str(model_file)]) == 2
    assert "Traceback" not in capsys.readouterr().err + caplog.text


def test_any_free_port_and_an_address_that_is_none():
    with server.listen("127.0.0.1", 0) as listening:
        assert listening.getsockname()[1] > 0
    for host in ("no such host", "192.0.2.1"):  # the second is kept for documentation
        with pytest.raises(UsageError, match=f"--host {host}: .*127.0.0.1"):
            server.listen(host, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--port", "70000"], "0 to 65535"), (["--max-seconds", "0"], "above 0"), (["--max-mb", "-1"], "above 0")],
)
def test_options_out_of_range(options, message, capsys, caplog):
    assert serve.main(options) == 2
    assert message in capsys.readouterr().err + caplog.text


def test_temporary_files_go_also_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), server.temporary_folder(tmp_path) as folder:
        (folder / "upload").mkdir()
        (folder / "upload" / "a.wav").write_bytes(b"private")
        assert folder.stat().st_mode & 0o077 == 0  # nobody else may read it
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_server_left_goes_at_the_next_start_and_a_running_ones_stays(tmp_path):
    left = tmp_path / f"{server.PREFIX}left"
    left.mkdir()
    (left / "a.wav").write_bytes(b"private")
    other = tmp_path / "somebody's"
    other.mkdir()
    with server.temporary_folder(tmp_path) as running:
        assert not left.exists() and other.exists()
        with server.temporary_folder(tmp_path):
            assert running.exists()
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    with pytest.raises(FileError, match="set TMPDIR"), server.temporary_folder(tmp_path / "none"):
        pass


def test_old_files_are_swept_and_new_ones_kept(tmp_path):
    with platform.Lock(tmp_path / server.LOCK):
        for name, age in (("old", 100), ("new", 0)):
            (tmp_path / name).mkdir()
            for place in (
                tmp_path / name / "a.wav",
                tmp_path / f"{name}-upload",
                tmp_path / name,
                tmp_path / server.LOCK,
            ):
                if not place.exists():
                    place.write_bytes(b"")
                os.utime(place, (time.time() - age,) * 2)
        server.sweep(tmp_path, time.time() - 50)
        names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
        assert {"new", "new/a.wav", "new-upload", server.LOCK} <= names and not {"old/a.wav", "old-upload"} & names
        server.sweep(tmp_path, time.time() + 50)
        assert {path.name.removesuffix(".pid") for path in tmp_path.iterdir()} == {server.LOCK}


@pytest.mark.parametrize(
    ("host", "only_loopback", "status"),
    [
        ("127.0.0.1:7860", True, 200), ("localhost", True, 200), ("[::1]:7860", True, 200), ("example.org:7860", True, 403),
        ("127.0.0.1.example.org", True, 403), ("", True, 403), ("example.org", False, 200),
    ],
)  # fmt: skip
def test_only_loopbacks_names_reach_a_server_on_loopback(host, only_loopback, status):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    guard = server.Guard(app, only_loopback)
    asyncio.run(guard({"type": "http", "headers": [(b"host", host.encode())]}, None, send))
    assert sent[0]["status"] == status
    if status == 200:
        policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy
