"""Judging while speech is made: recogniser and speaker encoder work in a thread of their own."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from tqdm import tqdm

from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.judges.recognisers import Recogniser
from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder
from vqvc.evaluation.metrics.speaker import embed
from vqvc.evaluation.metrics.words import transcribe


class BackgroundJudges:
    """Transcribes and embeds recordings as they are handed over; ``wait`` until all are done.

    Either judge may be None. Used as a context: what has not begun when it is left by an exception is dropped.
    """

    def __init__(self, recogniser: Recogniser | None, encoder: SpeakerEncoder | None, sample_rate: int):
        self._recogniser, self._encoder, self._sample_rate = recogniser, encoder, sample_rate
        self._pool = ThreadPoolExecutor(1, "judges")
        self._waiting: list[Future] = []

    def __enter__(self) -> "BackgroundJudges":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def add(self, clips: Sequence[EvaluationClip]) -> None:
        """Hand over recordings; returns at once."""
        if self._encoder is not None:
            self._waiting.append(self._pool.submit(embed, list(clips), self._encoder, self._sample_rate))
        if self._recogniser is not None:
            for clip in clips:
                self._waiting.append(self._pool.submit(transcribe, [clip], self._recogniser, self._sample_rate))

    def wait(self) -> None:
        """Until everything that was handed over is judged; raises what a judge raised."""
        left = [future for future in self._waiting if not future.done()]
        for future in tqdm(left, desc="judging", unit="recording", disable=None):
            future.result()
        for future in self._waiting:
            future.result()
        self._waiting = []
