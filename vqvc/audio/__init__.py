"""Sound as arrays: files, sample rates, companding, levels, features, pitch. NumPy, soundfile and soxr; no torch."""
