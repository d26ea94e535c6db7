"""The server: its port, its temporary files, and who may reach it."""

import asyncio
import json
import os
import socket
import time

import pytest

from vqvc._util import platform
from vqvc.cli import serve
from vqvc.errors import FileError, UsageError
from vqvc.serve import guard, server


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


def test_the_address_is_one_that_a_browser_can_open(monkeypatch):
    assert (
        server.address_of("127.0.0.1", 80) == "http://127.0.0.1:80"
        and server.address_of("::1", 80) == "http://[::1]:80"
    )
    for outward, shown in (("192.0.2.7", "192.0.2.7"), (None, "127.0.0.1")):
        monkeypatch.setattr(server, "_outward", lambda outward=outward: outward)
        assert server.address_of("0.0.0.0", 80) == server.address_of("::", 80) == f"http://{shown}:80"


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


async def _app(scope, receive, send):
    """An application that answers with what it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _answer(app, *parts, host="127.0.0.1", method="GET", path="/", **headers):
    """The messages of the answer to a request whose body comes in ``parts``."""
    sent, waiting = [], [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": host, **headers}.items()]
    await app({"type": "http", "method": method, "path": path, "headers": given}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("host", "only_loopback", "status"),
    [
        ("127.0.0.1:7860", True, 200), ("localhost", True, 200), ("[::1]:7860", True, 200), ("example.org:7860", True, 403),
        ("127.0.0.1.example.org", True, 403), ("", True, 403), ("example.org", False, 200),
    ],
)  # fmt: skip
def test_only_loopbacks_names_reach_a_server_on_loopback(host, only_loopback, status, tmp_path):
    sent = asyncio.run(_answer(guard.Guard(_app, only_loopback, tmp_path), host=host))
    assert sent[0]["status"] == status
    if status == 200:
        policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy


@pytest.mark.parametrize(
    ("method", "path", "site", "status"),
    [
        ("POST", "/gradio_api/upload", "same-origin", 200), ("POST", "/gradio_api/upload", "cross-site", 403),
        ("GET", "/", "cross-site", 200), ("POST", "/gradio_api/vibe-edit", "same-origin", 403),
        ("POST", "/gradio_api/process_recording", "same-origin", 403), ("PUT", "/", "none", 403),
    ],
)  # fmt: skip
def test_another_sites_page_and_what_ours_does_not_send_are_refused(tmp_path, method, path, site, status):
    app = guard.Guard(_app, True, tmp_path)
    sent = asyncio.run(_answer(app, b"a", b"b", method=method, path=path, sec_fetch_site=site))
    assert sent[0]["status"] == status and (status == 403 or sent[1]["body"] == b"ab")


def test_an_event_names_no_file_outside_the_folder(tmp_path):
    folder = tmp_path / "temporary"
    (folder / "x").mkdir(parents=True)
    (tmp_path / "private.wav").write_bytes(b"private")
    app = guard.Guard(_app, True, folder)

    def status(*parts):
        sent = asyncio.run(_answer(app, *parts, method="POST", path="/gradio_api/queue/join"))
        return sent[0]["status"], sent[1]["body"]

    def event(path):
        return json.dumps({"data": [None, [{"value": {"path": path}}]]}).encode()

    for ours in (str(folder / "x" / "a.wav"), None):
        body = event(ours)
        assert status(body[:9], body[9:]) == (200, body)
    for theirs in (
        str(tmp_path / "private.wav"), f"{folder}/../private.wav", f"{folder}2/a.wav", "private.wav", "http://example.org/a.wav",
        "file:///etc/passwd", "a\0b", 5,
    ):  # fmt: skip
        assert status(event(theirs))[0] == 403
    for body in (b"{", b"[" * 100_000, b'"' + bytes(2 << 20) + b'"', b"\xff"):
        assert status(body)[0] == 403
    assert status(event(str(tmp_path / "private.wav")).decode().encode("utf-16"))[0] == 403


def test_a_request_makes_no_conversion_of_a_file_that_was_not_uploaded(service, recordings, tmp_path):
    pytest.importorskip("gradio", reason="needs gradio (extra serve)")
    testclient = pytest.importorskip("starlette.testclient")
    with server.temporary_folder(tmp_path) as folder, testclient.TestClient(
        server.make_app(service, folder), base_url="http://127.0.0.1"
    ) as client:  # fmt: skip
        check = next(one for one in client.get("/config").json()["dependencies"] if one["api_name"] == "check")

        def checked(path):
            file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
            event = {"data": [file], "fn_index": check["id"], "session_hash": "x"}
            return client.post("/gradio_api/run/predict", json=event)

        with open(recordings / "good.wav", "rb") as file:
            (uploaded,) = client.post("/gradio_api/upload", files={"files": file}).json()
        assert checked(uploaded).status_code == 200
        before = sorted(folder.rglob("*"))
        assert checked(recordings / "good.wav").status_code == 403
        assert sorted(folder.rglob("*")) == before
