"""FAULTS row 21: an archive cannot write outside its folder, and a refused one writes nothing."""

import io
import tarfile
import zipfile

import pytest

from vqvc._util import archive
from vqvc.errors import VqvcError


def _tar(path, *members):
    with tarfile.open(path, "w:gz") as opened:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
            opened.addfile(info, io.BytesIO(data))
    return path


def test_zip_and_tar_unpack_to_the_same_tree(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("wav/p225/a b.wav", b"1" * 5000)
        opened.writestr("empty/", b"")
        opened.writestr("txt/p225.txt", b"")
    _tar(tmp_path / "a.tgz", ("wav/p225/a b.wav", b"1" * 5000, tarfile.REGTYPE), ("txt/p225.txt", b"", tarfile.REGTYPE))
    for name in ("a.zip", "a.tgz"):
        out = tmp_path / name.replace(".", "-")
        assert archive.unpack(tmp_path / name, out) == 2
        assert (out / "wav/p225/a b.wav").read_bytes() == b"1" * 5000
        assert (out / "txt/p225.txt").read_bytes() == b""


@pytest.mark.parametrize("name", ["../out.txt", "/abs.txt", "a/../../b.txt", "a\\..\\b.txt"])
def test_row_21_a_member_outside_is_refused_before_anything_is_written(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("good.txt", b"1")
        opened.writestr(name, b"2")
    with pytest.raises(VqvcError, match="unsafe member"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_row_21_links_and_devices_are_refused(tmp_path, kind):
    path = _tar(tmp_path / "a.tar", ("good.txt", b"1", tarfile.REGTYPE), ("link", b"", kind))
    with pytest.raises(VqvcError, match="unsafe member 'link'"):
        archive.unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_row_21_a_zip_symlink_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(VqvcError, match="a link or device"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "out")


def test_row_21_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE_ALLOWANCE", 0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(10_000_000))
    with pytest.raises(VqvcError, match="would unpack to"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    good = _tar(tmp_path / "a.tgz", ("x", bytes(range(256)) * 400, tarfile.REGTYPE))
    (tmp_path / "cut.tgz").write_bytes(good.read_bytes()[:300])
    (tmp_path / "text.zip").write_text("not an archive")
    for name in ("none.zip", "cut.tgz", "text.zip"):
        with pytest.raises(VqvcError, match=name):
            archive.unpack(tmp_path / name, tmp_path / "out")
