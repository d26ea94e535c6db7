"""Names that settings, tensors and facts of checkpoints had in files of earlier versions, and what they are called now: the one table."""

SETTINGS = {  # section.key
    "quantizer.free_steps": "training.quantizer_start_step",
    "training.listen_first": "training.decoder_warmup_fraction",
    "training.said_samples": "training.decoder_crop_samples",
    "training.lead_samples": "training.context_samples",
    "training.lead_codes": "training.context_codes",
    "training.contrast_weight": "training.cpc_weight",
    "decoder.jitter": "training.jitter",
}
TENSORS = {  # parts of a dotted name
    "intonation": "f0_conditioner",
    "spoken": "f0_sums",
    "contrast": "cpc",
    "hint": "lpc_input",
    "level": "norm",
    "level_out": "norm_out",
}
FACTS = {"free": "bypass_quantizer"}  # of a checkpoint


def setting(name: str) -> str:
    """``section.key`` as it is called now."""
    return SETTINGS.get(name, name)


def tensor(name: str) -> str:
    """The dotted name of a tensor as it is called now."""
    return ".".join(TENSORS.get(part, part) for part in name.split("."))


def facts(stated: dict) -> dict:
    """The facts of a checkpoint under the names that they have now."""
    return {FACTS.get(name, name): value for name, value in stated.items()}
