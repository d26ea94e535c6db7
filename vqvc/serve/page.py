"""The parts of the page and what they call, in Gradio (extra ``serve``). What is done stands in service.py.

A user's enrolled voices are in the state of that user's page; nobody else sees them.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from markupsafe import Markup, escape

from vqvc._util import extras, file_names
from vqvc.conversion.disclosure import CONSENT
from vqvc.conversion.voice_file import SUFFIX, EnrolledVoice
from vqvc.errors import UsageError, VqvcError, explained
from vqvc.serve import figures
from vqvc.serve.jobs import Job, Stopped
from vqvc.serve.service import MB, Service, sentence

logger = logging.getLogger("vqvc.serve")

ENROLLED = "enrolled: "  # before the name of an enrolled voice in the list
Voices = dict[str, EnrolledVoice]


def load_gradio(folder: str | Path) -> ModuleType:
    """Gradio with its temporary files in ``folder``, no statistics and no look for a newer version; raises MissingExtraError."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1"
    )
    return extras.load("gradio", "serve")


def build(service: Service, gr: ModuleType, folder: str | Path) -> Any:
    """The page, a ``gradio.Blocks``. folder: for results, removed by the server."""
    actions = Actions(service, gr, Path(folder))
    longest, largest = service.limits.longest_s, service.limits.largest_bytes / MB
    with gr.Blocks(title="vqvc: voice conversion", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(_head(service), elem_classes="vq-head")
        voices = gr.State({})
        with gr.Row():
            with gr.Column(min_width=300):
                recording = gr.Audio(
                    sources=["upload", "microphone"], type="filepath", label=f"Recording, up to {longest:.0f} s and {largest:g} MB", editable=False,
                    buttons=[], waveform_options={"show_recording_waveform": False}, elem_id="recording",
                )  # fmt: skip
            with gr.Column(min_width=300):
                voice = gr.Dropdown(
                    actions.choices({}), value=service.speakers[0].name, label="Voice", elem_id="voice", filterable=True
                )
                convert = gr.Button("Convert", variant="primary", elem_id="convert")
                status = gr.HTML(_status(), elem_id="status", elem_classes="vq-status")
        result = gr.HTML(visible=False, elem_id="result")
        download = gr.DownloadButton("Download the result (wav)", visible=False, elem_id="download")
        with gr.Accordion(
            "Enroll a voice from a recording", open=False, visible=service.can_enroll, elem_id="enrollment"
        ):
            gr.Markdown(
                f"30 s of clear speech of one person, without music; from 10 s on it works. {CONSENT} The voice appears in the list "
                "above, on this page alone, until the page is closed; its file can be kept and opened again."
            )
            with gr.Row():
                with gr.Column(min_width=300):
                    sample = gr.Audio(
                        sources=["upload", "microphone"], type="filepath", label="Recording of the voice",
                        editable=False, buttons=[], waveform_options={"show_recording_waveform": False}, elem_id="sample",
                    )  # fmt: skip
                with gr.Column(min_width=300):
                    name = gr.Textbox(label="Name of the voice", max_lines=1, elem_id="name")
                    agreed = gr.Checkbox(label="The owner of this voice agrees that it is enrolled", elem_id="agreed")
                    enroll = gr.Button("Enroll", elem_id="enroll")
                    enrollment = gr.HTML(_status(), elem_id="enrollment-status", elem_classes="vq-status")
                    keep = gr.DownloadButton("Download the voice file", visible=False, elem_id="keep")
                    opened = gr.UploadButton("Open a voice file", file_types=[SUFFIX], elem_id="open")
        ours: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
        # Answered by the request itself: where one answer of Gradio's stream is its last, the page closes the stream, and an event that
        # begins in that moment is lost.
        at_once = {**ours, "queue": False}
        for audio, shown in ((recording, status), (sample, enrollment)):
            given = [audio.upload, audio.stop_recording]
            gr.on(
                given, None, None, [shown], js="() => ''", **at_once
            )  # in the browser, so that it comes before any answer
            gr.on(given, actions.check, [audio], [audio, shown], **at_once)
        convert.click(actions.convert, [recording, voice, voices], [status, result, download, convert], **ours)
        enroll.click(actions.enroll, [sample, name, agreed, voices], [enrollment, voices, voice, keep, enroll], **ours)
        opened.upload(actions.open_voice, [opened, voices], [enrollment, voices, voice], **at_once)
    return blocks


class Actions:
    """What the page's buttons do: functions from values of its parts to updates of others."""

    def __init__(self, service: Service, gr: ModuleType, folder: Path):
        self.service, self.gr, self.folder = service, gr, folder

    def choices(self, voices: Voices) -> list[str | tuple[str, str]]:
        """The list of voices: the model's as it lists them, then the user's own; (label, name)."""
        table = [(_described(one.name, one.gender, one.accent), one.name) for one in self.service.speakers]
        return [*((ENROLLED + name, ENROLLED + name) for name in voices), *table]

    def check(self, path: str | None) -> tuple[Any, Any]:
        """Refuse a recording as soon as it is there; what is refused is removed at the next sweep."""
        try:
            notes = self.service.check(path) if path else ()
        except Exception as error:
            text = self._failed("Not taken", error, path)
            self._discard(path)
            return None, text
        return self.gr.skip(), _status("; ".join(notes)) if notes else self.gr.skip()

    def convert(self, path: str | None, chosen: str, voices: Voices) -> Iterator[tuple[Any, ...]]:
        """Status, result, download and button while a recording is converted."""
        same, button = self.gr.skip(), self.gr.update
        try:
            if path is None:
                raise UsageError("no recording: upload or record one first")
            target = self._target(chosen, voices)
            folder = tempfile.mkdtemp(dir=self.folder)
            job = self.service.turns.start(lambda report: self.service.convert(path, target, folder, report))
            for share in job.shares():
                yield _bar("Converting", share), same, same, button(interactive=False)
            done = job.result()
            notes = "".join(f" {note}." for note in done.notes)
            seconds = len(done.source) / done.sample_rate
            shown = self.gr.update(value=figures.comparison(done), visible=True)
            text = f"{done.name} as {done.speaker}: {seconds:.1f} s.{notes}"
            yield _status(text), shown, self.gr.update(value=str(done.path), visible=True), button(interactive=True)
        except Exception as error:
            yield self._failed("Not converted", error, path), same, same, button(interactive=True)

    def enroll(self, path: str | None, name: str, agreed: bool, voices: Voices) -> Iterator[tuple[Any, ...]]:
        """Status, the user's voices, the list, the voice file and the button while a voice is enrolled."""
        same, button = self.gr.skip(), self.gr.update
        try:
            job: Job[EnrolledVoice] = self.service.turns.start(
                lambda report: self.service.enroll(path, name, agreed, report)
            )
            for share in job.shares():
                yield _bar("Enrolling", share), same, same, same, button(interactive=False)
            voice = job.result()
            file = Path(tempfile.mkdtemp(dir=self.folder), f"{file_names.part(voice.name)}{SUFFIX}")
            voice.save(file)
            warnings = "".join(f" {warning}." for warning in voice.provenance["warnings"])
            text = f"{voice.name}: enrolled from {voice.provenance['speech_s']:.0f} s of speech.{warnings}"
            added = self._added(voice, voices)
            yield _status(text), *added, self.gr.update(value=str(file), visible=True), button(interactive=True)
        except Exception as error:
            yield self._failed("Not enrolled", error, path), same, same, same, button(interactive=True)

    def open_voice(self, path: str | None, voices: Voices) -> tuple[Any, ...]:
        """Status, the user's voices and the list after a voice file was uploaded."""
        try:
            voice = self.service.open_voice(path or "")
        except Exception as error:
            return self._failed("Not opened", error, path), self.gr.skip(), self.gr.skip()
        return _status(f"{voice.name}: opened."), *self._added(voice, voices)

    def _added(self, voice: EnrolledVoice, voices: Voices) -> tuple[Voices, Any]:
        more = {voice.name: voice, **{name: one for name, one in voices.items() if name != voice.name}}
        return more, self.gr.update(choices=self.choices(more), value=ENROLLED + voice.name)

    def _target(self, chosen: str, voices: Voices) -> str | EnrolledVoice:
        name = (chosen or "").removeprefix(ENROLLED)
        if chosen != name and name in voices:
            return voices[name]
        if name in [one.name for one in self.service.speakers]:
            return name
        raise UsageError("no voice: choose one of the list")

    @staticmethod
    def _discard(path: str | None) -> None:
        """Make a file old, so that it is swept: the browser may still be reading it."""
        if path:
            with suppress(OSError):
                os.utime(path, (0, 0))

    def _failed(self, what: str, error: Exception, path: str | None) -> str:
        """One sentence for whatever went wrong; a bug is logged with its traceback."""
        if isinstance(error, Stopped):
            return _status(f"{what}: the server ends.", error=True)
        known = error if isinstance(error, VqvcError) else explained(error, Path(path).name if path else None)
        if known is None:
            logger.error("%s", what, exc_info=error)
            return _status(f"{what}: a fault of the program; the terminal of vqvc-serve has the details.", error=True)
        return _status(f"{what}: {sentence(known, path)}", error=True)


def _described(name: str, gender: str, accent: str) -> str:
    facts = ", ".join(filter(None, ({"f": "female", "m": "male"}.get(gender.lower(), gender), accent)))
    return f"{name} ({facts})" if facts else name


def _head(service: Service) -> str:
    count = len(service.speakers)
    return Markup(
        "<h1>Voice conversion</h1><p>A recording as another voice: {count} voices of the model {model}, and any that you enroll. It is computed "
        "on the machine that serves this page; recordings and results are deleted there when an hour has passed or the server ends. "
        "Convert only into voices whose owners agree.</p>"
    ).format(count=count, model=service.model_name)


def _status(text: str = "", *, error: bool = False) -> str:
    if error:
        return Markup('<p class="vq-error" role="alert">{}</p>').format(text)
    return Markup('<p role="status">{}</p>').format(text)


def _bar(what: str, share: float | None) -> str:
    if share is None:
        return Markup(
            '<p role="status">{}: waiting, the model is at work.</p><progress aria-label="{}"></progress>'
        ).format(what, what)
    percent = round(100 * share)
    return Markup('<p>{}: {} %</p><progress max="100" value="{}" aria-label="{}"></progress>').format(
        what, percent, percent, escape(what)
    )
