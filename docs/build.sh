#!/usr/bin/env bash
# The API reference, from docstrings: docs/api/index.html, or another folder.
#
#   bash docs/build.sh [FOLDER]
#
# Needs pdoc (pip install -c constraints.txt -e '.[docs]').
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root/docs/api}
python -c 'import pdoc' 2>/dev/null ||
  { echo "error: pdoc is not installed; install it with: pip install -c constraints.txt -e '.[docs]'" >&2; exit 2; }
cd "$root"
# The kernels of a GPU import Triton, which not every machine has.
python -m pdoc --docformat restructuredtext --no-show-source --output-directory "$out" \
  vqvc '!vqvc._util' '!vqvc.cli' '!vqvc.nn.gate_kernels' '!vqvc.engine.gpu.kernel'
echo "$out/index.html"
