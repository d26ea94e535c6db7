"""Metadata that mark a sound file as converted speech, and the note on consent for enrolling voices."""

from typing import TYPE_CHECKING

from vqvc import __version__

if TYPE_CHECKING:
    from vqvc.conversion.model_file import Header
    from vqvc.conversion.voice_file import EnrolledVoice

CONSENT = "Enroll only voices whose owners agree to it, and say that converted speech is converted."


def tags_of(model: "Header", target: "int | EnrolledVoice") -> dict[str, str]:
    """Tags by libsndfile's names for speech as ``target``, an index in the model's table or an enrolled voice."""
    software = f"vqvc {__version__}"
    speaker = model.speakers[target].name if isinstance(target, int) else target.name
    return {
        "software": software,
        "comment": f"{software}, model {model.path.stem} {model.checksum[:8]}, speaker {speaker}",
    }
