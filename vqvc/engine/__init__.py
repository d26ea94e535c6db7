"""What engines of the sampling loop have in common: the arithmetic that they are tested against."""
