"""Speakers of the table as enrolled voices."""

from vqvc.conversion.voice_file import EnrolledVoice


def row_as_voice(converter, row: int, **fields) -> EnrolledVoice:
    """A speaker of the table as if it had been enrolled."""
    model = converter.model
    known = {
        "name": "me", "vector": model.conditioning.speaker.weight[row].detach().clone(),
        "global_variance": model.global_variance[row].clone(), "f0": (7.0, 0.3), "model": converter.checksum, "provenance": {},
    }  # fmt: skip
    return EnrolledVoice(**known | fields)
