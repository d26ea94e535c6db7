"""The page: self-contained, escaped, working in a browser; the section of RESULTS.md: the same bytes from the same JSON."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from vqvc.cli import probe, report
from vqvc.errors import VqvcError
from vqvc.evaluation import evaluation_set, suite, tables
from vqvc.evaluation.judges.recognisers import plain_words
from vqvc.evaluation.metrics import pitch, speaker_mfcc, words
from vqvc.evaluation.page import render
from vqvc.evaluation.page.charts import line_chart
from vqvc.evaluation.run_folder import RunFolder


class Scripted:
    """A recogniser whose answer is markup."""

    recipe = "scripted"

    def words(self, samples, sample_rate):
        return "<img src=x onerror=alert(1)>"

    def normalise(self, text):
        return plain_words(text)


@pytest.fixture(scope="module")
def exp(toy):
    from vqvc.corpus.alignment import read_ctm
    from vqvc.corpus.codes import CodeArchive
    from vqvc.corpus.store import PackedStore

    store, folder = PackedStore(toy.store), toy.exp
    targets = evaluation_set.choose_targets(store, toy.converter.speakers, None, 2)
    sources = evaluation_set.choose_sources(store, toy.converter.speakers, targets, 4)
    made = evaluation_set.plan(store, toy.converter.speakers, sources, targets)
    evaluation_set.make(toy.converter, store, made, folder / "eval")
    evaluation_set.annotate(made, CodeArchive.load(toy.codes), read_ctm(toy.align))
    speakers = suite.as_json(speaker_mfcc.measure(made, store))
    for kind, confusion in speaker_mfcc.confusions(made).items():
        speakers[kind]["confusion"] = confusion
    figures = {
        "content": suite.as_json(words.measure(made, Scripted(), 16000)),
        "speaker": speakers,
        "prosody": suite.as_json(pitch.measure(made, 16000)),
        "quality": {"left_out": "the package speechmos is not installed"},
    }
    result = {"settings": {"targets": targets}, "figures": figures, "clips": suite.clip_rows(made, 16000)}
    result["clips"][0]["text"] = "</script><script>document.title='broken'</script>"
    (folder / "eval" / "evaluate.json").write_text(json.dumps(result))
    assert (
        probe.main(
            ["--codes", str(toy.codes), "--align", str(toy.align), "--out", str(folder / "probe"), "--overwrite"]
        )
        == 0
    )
    return folder


@pytest.fixture(scope="module")
def made_page(exp):
    target = exp / "report.html"
    assert report.main(["--exp", str(exp), "--out", str(target), "--overwrite"]) == 0
    return target


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(path):
    parser = Elements()
    parser.feed(path.read_text())
    return parser.found


def test_page_loads_nothing_and_holds_everything(made_page):
    found = elements(made_page)
    links = [attrs[key] for _, attrs in found for key in ("src", "href") if key in attrs]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert sum(tag == "audio" for tag, _ in found) >= 8
    assert sum(tag == "svg" for tag, _ in found) >= 3
    page_text = made_page.read_text()
    for name in ("listen", "codes", "probe", "figures", "confusion", "training", "clips", "provenance"):
        assert f'id="{name}"' in page_text
    assert (made_page.parent / "summary.png").read_bytes().startswith(b"\x89PNG")


def test_names_and_texts_cannot_become_markup(made_page):
    found = elements(made_page)
    assert sum(tag == "script" for tag, _ in found) == 1
    assert not any("onerror" in attrs for _, attrs in found)
    text = made_page.read_text()
    assert "<b>tag" not in text and "&lt;b&gt;tag" in text
    assert "&lt;script&gt;alert(1)" in text


def test_players_carry_the_very_samples(exp, made_page):
    import base64
    import io

    import soundfile

    first = next(attrs["src"] for tag, attrs in elements(made_page) if tag == "audio")
    played, rate = soundfile.read(io.BytesIO(base64.b64decode(first.partition(",")[2])), dtype="float32")
    sources = [soundfile.read(path, dtype="float32")[0] for path in (exp / "eval" / "wav" / "source").iterdir()]
    assert rate == 16000
    assert any(len(played) == len(other) and np.abs(played - other).max() < 1e-4 for other in sources)


def test_results_regenerate_byte_for_byte_and_leave_the_rest_alone(exp, tmp_path):
    run = tmp_path / "small"
    shutil.copytree(exp / "probe", run / "probe")
    (run / "eval").mkdir()
    evaluation = json.loads((exp / "eval" / "evaluate.json").read_text())
    (run / "eval" / "evaluate.json").write_text(json.dumps(evaluation | {"clips": []}))
    target = tmp_path / "RESULTS.md"
    target.write_text(
        "# Results\n\nBy hand.\n\n<!-- begin other (written by vqvc-report) -->\nkept\n<!-- end other -->\n"
    )
    args = [
        "--exp",
        str(run),
        "--out",
        str(tmp_path / "r.html"),
        "--results",
        str(target),
        "--no-picture",
        "--overwrite",
    ]
    assert report.main([*args, "--command", "bash egs/mini/run.sh"]) == 0
    first = target.read_bytes()
    assert b"By hand." in first and b"kept" in first and b"bash egs/mini/run.sh" in first
    assert report.main(args) == 0  # the command is remembered
    assert target.read_bytes() == first
    shown = target.read_text()
    result = json.loads((run / "probe" / "probe.json").read_text())
    value = result["figures"]["dev"]["without_silence"]["constant"]["value"]
    assert re.search(rf"\| constant guess \| {value:.1f} ", shown)


def test_results_tell_the_learning_curve_and_what_codes_cost(tmp_path):
    point = {"bits_shuffled_codes": 7.0, "usage": 0.5}
    events = [
        {"event": "valid", "minutes": n, "step": 1000 * n, "bits_per_sample": 5 - n / 10, "skip_decoder": n < 3} | point
        for n in range(30)
    ]
    events.append({"event": "end", "minutes": 30.0, "step": 30000, "bits_per_sample": 1.987} | point)
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, events)))
    one = {"uniform": 9.0, "prior": 6.0}
    score = {
        "what": "speakers of training", "seconds": 120.0, "bits_per_code": one, "bits_per_second": {"uniform": 2250.0, "prior": 1500.0},
        "saved_percent": {"uniform": 0.0, "prior": 33.3},
        "files": {"plain_bits_per_second": 2290.0, "coded_bits_per_second": 1530.0, "coded_over_cross_entropy_percent": 1.96},
    }  # fmt: skip
    bound = {"decoder_bits_per_sample": 3.5, "bits_per_sample": {"uniform": 3.64, "prior": 3.59}}
    (tmp_path / "prior").mkdir()
    (tmp_path / "prior" / "score.json").write_text(json.dumps({"sets": {"dev": score}, "bound": bound}))
    shown = tables.results_section(RunFolder.read(tmp_path), "small").splitlines()
    curve = [line for line in shown if re.match(r"\| \d+ \| [\d,]+ \| ", line)]
    assert curve[0] == "| 0 | 0 | 5.000 (decoder skipped) | 7.00 | 50 % |" and len(curve) <= 13
    assert curve[-1] == "| 30 | 30,000 | 1.987 | 7.00 | 50 % |"
    assert "| prior | 6.000 | 1,500 | 33.3 % |" in shown
    assert "| file, under the prior (+1.96 % of the prior's cross-entropy) | – | 1,530 | – |" in shown
    assert any("3.5900 (prior)" in line for line in shown)


def test_section_is_replaced_in_place():
    before = tables.put_section("", "a", "one\n")
    both = tables.put_section(before, "b", "two\n")
    changed = tables.put_section(both, "a", r"\1 three" + "\n")
    assert changed == both.replace("one", r"\1 three")
    assert tables.put_section(changed, "b", "two\n") == changed


def test_what_is_absent_is_left_out(tmp_path):
    with pytest.raises(VqvcError, match="no such folder"):
        RunFolder.read(tmp_path / "nowhere")
    with pytest.raises(VqvcError, match="holds no log"):
        RunFolder.read(tmp_path)
    (tmp_path / "log.jsonl").write_text(
        '{"event": "train", "minutes": 1, "loss_bits": 4}\n{"event": "train", "minutes": 2, "loss_bits": null}\n'
    )
    assert report.main(["--exp", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert 'id="listen"' not in text and 'id="provenance"' in text
    assert report.main(["--exp", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 2


def test_conversions_are_played_where_there_is_no_evaluation(exp, tmp_path):
    (tmp_path / "wavs").mkdir()
    shutil.copy(next((exp / "eval" / "wav" / "conversion").iterdir()), tmp_path / "wavs" / "a&b.wav")
    assert report.main(["--exp", str(tmp_path), "--out", str(tmp_path / "r.html"), "--no-picture"]) == 0
    assert [attrs["aria-label"] for tag, attrs in elements(tmp_path / "r.html") if tag == "audio"] == ["wavs/a&b.wav"]


def test_evaluations_of_the_first_format_are_read(exp, tmp_path):
    """Version 1 has another key for a clip's transcript."""
    shutil.copytree(exp / "eval", tmp_path / "eval")
    path = tmp_path / "eval" / "evaluate.json"
    path.write_text(path.read_text().replace('"transcript":', '"heard":'))
    clips_of = [RunFolder.read(folder).evaluation["clips"] for folder in (exp, tmp_path)]
    assert clips_of[0] == clips_of[1] and "transcript" in clips_of[0][0]


def test_damaged_figures_are_named(tmp_path, capsys):
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "probe.json").write_text('{"figures": ')
    assert report.main(["--exp", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 1
    assert "probe.json: is not valid JSON" in capsys.readouterr().err


def test_chart_stays_inside_its_frame():
    chart = render.part("chart", line_chart("t", [("<a>", [(0, 5), (1, 2), (2, 2)])], "x"))
    points = [tuple(map(float, point.split(","))) for point in re.search(r'points="([^"]+)"', chart).group(1).split()]
    assert all(52 <= x <= 412 and 26 <= y <= 196 for x, y in points)
    assert points[0][1] < points[1][1] == points[2][1]  # a higher value stands higher
    assert "&lt;a&gt;" in chart
    assert line_chart("t", [("a", [(1, 1)])], "x") is None


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def test_page_works_in_a_browser(made_page, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs chromium on PATH")
    probe_script = """<script>
    addEventListener("load", async () => {
      const faults = [];
      addEventListener("error", (event) => faults.push(event.message));
      for (const sound of document.querySelectorAll("audio")) {
        if (sound.readyState < 1) await new Promise((go) => { sound.onloadedmetadata = go; sound.onerror = go; setTimeout(go, 3000); sound.load(); });
        if (sound.error || !(sound.duration > 0.5)) faults.push("silent player");
      }
      const first = document.querySelector("audio");
      first.muted = true;
      await first.play().catch((error) => faults.push("does not play: " + error));
      const table = document.querySelector("table.sortable"), button = table.querySelectorAll("th button")[1];
      button.click(); button.click();
      const values = [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[1].dataset.v));
      if (values.some((value, n) => n && value > values[n - 1])) faults.push("not sorted: " + values);
      if (document.documentElement.scrollWidth > innerWidth + 1) faults.push("wider than the screen");
      document.documentElement.setAttribute("data-faults", faults.length ? faults.join("; ") : "none");
    });
    </script>"""
    probed = tmp_path / "probed.html"
    probed.write_text(made_page.read_text().replace("</body>", probe_script + "</body>"))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--autoplay-policy=no-user-gesture-required", "--window-size=500,900", "--virtual-time-budget=8000",
               "--enable-logging=stderr", "--v=0", "--dump-dom", probed.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    found = re.search(r'data-faults="([^"]*)"', done.stdout)
    assert found and found.group(1) == "none", found and found.group(1)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console


def test_recordings_at_48_khz_can_be_drawn(tmp_path):
    from vqvc.audio import io
    from vqvc.evaluation import plots
    from vqvc.evaluation.report import _samples

    io.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(48000) / 40), 48000)
    samples, sample_rate = _samples(tmp_path / "a.wav")
    assert len(samples) == sample_rate
    assert plots.clip_picture(samples, sample_rate).startswith(b"\x89PNG")
