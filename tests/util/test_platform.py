"""vqvc/_util/platform.py: each question has an answer, also where the system lacks the function."""

import errno
import os
import subprocess
import sys

import pytest

from vqvc._util import platform


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert platform.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert platform.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert platform.cores() == 1


def test_a_lock_has_one_holder_and_names_it(tmp_path):
    lock = platform.Lock(tmp_path / "lock")
    with pytest.raises(platform.LockedError, match=f"in use by process {os.getpid()}"):
        platform.Lock(tmp_path / "lock")
    lock.close()
    lock.close()
    with platform.Lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock.pid").exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = "import os, signal, sys; from vqvc._util.platform import Lock; lock = Lock(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    assert killed.returncode < 0 and (tmp_path / "lock.pid").exists()
    with platform.Lock(tmp_path / "lock"):
        assert (tmp_path / "lock.pid").read_text() == str(os.getpid())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL])
def test_a_system_that_flushes_no_folders_is_no_error(tmp_path, monkeypatch, number):
    def refuse(fd):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    platform.fsync_directory(tmp_path)
    with pytest.raises(OSError):
        platform.fsync_file(tmp_path)


def test_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output"):
        platform.fsync_directory(tmp_path)
