#!/usr/bin/env bash
# Where the commands are: source this file to run a stage by hand (". egs/vctk/path.sh").
# The active environment is used when it can run vqvc, otherwise .venv in the repository (egs/mini/run.sh makes it).

VQVC_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export VQVC_ROOT
export LC_ALL=C PYTHONUTF8=1 # names sort by byte order, texts are UTF-8

# vqvc_ready MODULE...: true when the environment on PATH has the commands, the core packages and these.
vqvc_ready() {
  command -v vqvc-prepare >/dev/null && command -v vqvc-synth-corpus >/dev/null &&
    (cd / && python -c '
import importlib.util, sys
core = ["vqvc", "torch", "soundfile", "soxr", "safetensors", "yaml", "librosa", "sklearn"]
sys.exit(not all(importlib.util.find_spec(name) for name in core + sys.argv[1:]))' "$@") 2>/dev/null
}

if ! vqvc_ready && [[ -x $VQVC_ROOT/.venv/bin/vqvc-prepare ]]; then
  export PATH="$VQVC_ROOT/.venv/bin:$PATH"
fi
# This clone's code runs, even where the environment was made from another.
export PYTHONPATH="$VQVC_ROOT${PYTHONPATH:+:$PYTHONPATH}"
