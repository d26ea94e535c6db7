"""Corpora as they are unpacked: one file for each layout, each with ``find`` (is it here?) and ``read``."""
