"""Corpora: data directories, their sources and splits, the packed store, alignments and code archives."""
