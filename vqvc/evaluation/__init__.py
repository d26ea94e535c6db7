"""What the codes hold and how the converted speech sounds: every figure with its definition and its interval."""
