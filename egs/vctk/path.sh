#!/usr/bin/env bash
# Where the commands are: source this file to run a stage by hand (". egs/vctk/path.sh").
# The active environment is used when it can run vqvc, otherwise .venv in the repository (egs/mini/run.sh makes it).

VQVC_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export VQVC_ROOT
export LC_ALL=C.UTF-8 PYTHONUTF8=1 # names sort by byte order, texts are UTF-8

# True when the environment on PATH has the commands and what they need.
vqvc_ready() {
  command -v vqvc-prepare >/dev/null && command -v vqvc-report >/dev/null &&
    (cd / && python -c 'import vqvc, torch, soundfile, soxr, safetensors, yaml') 2>/dev/null
}

if ! vqvc_ready && [[ -x $VQVC_ROOT/.venv/bin/vqvc-prepare ]]; then
  export PATH="$VQVC_ROOT/.venv/bin:$PATH"
fi
# This clone's code runs, even where the environment was made from another.
export PYTHONPATH="$VQVC_ROOT${PYTHONPATH:+:$PYTHONPATH}"
