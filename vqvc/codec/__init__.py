"""Codes as files: the code file, its range coder, the prior in whole numbers and the prior's file."""
