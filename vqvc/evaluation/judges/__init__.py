"""Judges: recognisers, speaker encoders and quality predictors that others trained, behind one interface each."""
