"""What the buttons do, without a browser: sentences for faults, and voices that belong to one user."""

from types import SimpleNamespace

import pytest

from vqvc.serve.page import ENROLLED, Actions

pytest.importorskip("PIL", reason="needs pillow (extra serve)")
SAME = "unchanged"


@pytest.fixture
def actions(service, tmp_path):
    return Actions(service, SimpleNamespace(update=lambda **changes: changes, skip=lambda: SAME), tmp_path)


@pytest.fixture
def me(service, recordings):
    return service.enroll(recordings / "voice.wav", "me", True)


def test_a_conversion_ends_with_result_file_and_button(actions, recordings, tmp_path):
    *before, last = actions.convert(str(recordings / "good.wav"), "p225", {})
    assert before and all(button == {"interactive": False} for *_, button in before)
    status, result, download, button = last
    assert "good.wav as p225: 1.6 s." in status and "vq-pair" in result["value"] and button == {"interactive": True}
    assert download["value"].startswith(str(tmp_path)) and download["value"].endswith("good_p225.wav")


def test_a_voice_is_in_the_list_of_its_user_alone(actions, recordings, me):
    ours = {"me": me}
    assert [name for _, name in actions.choices(ours)] == [f"{ENROLLED}me", "p225", "p226"]
    assert [name for _, name in actions.choices({})] == ["p225", "p226"]
    good = str(recordings / "good.wav")
    assert "good.wav as me: " in list(actions.convert(good, f"{ENROLLED}me", ours))[-1][0]
    for chosen in (f"{ENROLLED}me", "me", "p315", "", None):
        assert "Not converted: no voice" in list(actions.convert(good, chosen, {}))[-1][0]


def test_a_second_voice_of_one_name_takes_the_place_of_the_first(actions, recordings, me):
    made = list(actions.enroll(str(recordings / "voice.wav"), "me", True, {"me": me, "you": me}))[-1]
    assert list(made[1]) == ["me", "you"] and made[1]["me"] is not me and made[2]["value"] == f"{ENROLLED}me"


def test_a_refused_upload_is_cleared_and_old_enough_to_be_swept(actions, recordings, tmp_path):
    upload = tmp_path / "text.wav"
    upload.write_text("no sound")
    cleared, status = actions.check(str(upload))
    assert cleared is None and "Not taken: text.wav: not a readable" in status and 'role="alert"' in status
    assert upload.stat().st_mtime == 0
    for unchanged in (str(recordings / "good.wav"), None):  # its answer may come after that of the next button
        assert actions.check(unchanged) == (SAME, SAME)
    assert "2 channels averaged" in actions.check(str(recordings / "stereo.wav"))[1]


def test_a_bug_is_one_sentence_on_the_page_and_a_traceback_in_the_log(
    actions, service, recordings, monkeypatch, caplog
):
    def broken(*_):
        raise RuntimeError("at /secret/path")

    monkeypatch.setattr(service, "convert", broken)
    status, result, download, button = list(actions.convert(str(recordings / "good.wav"), "p225", {}))[-1]
    assert "a fault of the program" in status and "secret" not in status and button == {"interactive": True}
    assert result == download == SAME
    assert any(record.exc_info for record in caplog.records)


def test_names_cannot_become_markup(actions, service, recordings, tmp_path):
    path = tmp_path / "<b>a<i>.wav"
    path.write_bytes((recordings / "silence.wav").read_bytes())
    assert "&lt;b&gt;a&lt;i&gt;.wav: digital silence" in list(actions.convert(str(path), "p225", {}))[-1][0]
