"""Measures of the evaluation, one file each: typed functions that return ``Metric`` records."""
