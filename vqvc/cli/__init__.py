"""The commands, one small file each; they import heavy packages only after their arguments are read."""
