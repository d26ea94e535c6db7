#!/usr/bin/env bash
# VCTK (0.80 or 0.92) from the downloaded corpus to converted speech, a probe table and one page.
#
#   bash egs/vctk/run.sh --stage 0                             the corpus lies in egs/vctk/downloads/VCTK-Corpus*
#   bash egs/vctk/run.sh --stage 0 --db-root DIR               or in DIR
#   bash egs/vctk/run.sh --stage -1                            or is downloaded first (11 GB)
#
# Stages: -1 download, 0 prepare, 1 pack, 2 align, 3 train, 4 encode, 5 convert, 6 probe, 7 evaluate, 8 report, 9 prior.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/path.sh"
. "$here/cmd.sh"
. "$VQVC_ROOT/recipes/stages.sh"

option stage int:-1:9 0 "first stage; -1 downloads the corpus (11 GB)"
option stop-stage int:-1:9 8 "last stage; 9 also trains the prior over codes"
option db-root path "" "folder of VCTK, which holds wav48 or wav48_silence_trimmed (the one in downloads/ when not given)"
option extra-source paths "" "another corpus to train on: a Kaldi directory or a folder per speaker (repeatable)"
option mic text "" "microphone of release 0.92: mic1 or mic2 (mic2 when not given)"
option keep-speakers text "" "speakers never kept aside as unseen, with commas (egs/vctk/conf/keep_speakers.txt)"
option textgrids path "" "folder of TextGrids (MFA's); without it the transcripts are aligned with pocketsphinx"
option init path "" "model file to begin training from instead of random weights, for example to add speakers"
run_options egs/vctk small "" 4x4
parse_options "VCTK from the corpus to converted speech (see egs/vctk/run.sh)." "$@"
cd "$VQVC_ROOT"
set_folders "$here"
choose_stages 8

# find_vctk FOLDER: the newest release in it.
find_vctk() {
  local folder found=
  for folder in "$1"/VCTK-Corpus*; do
    if [[ -d $folder/wav48 || -d $folder/wav48_silence_trimmed ]] && [[ $folder != *.partial ]]; then found=$folder; fi
  done
  printf '%s' "$found"
}

if ((opt_stage <= -1)); then
  "$BASH" egs/vctk/local/download.sh --out "$work/downloads"
fi
if ((opt_stage <= 0 && opt_stop_stage >= 0)); then
  if [[ -z $opt_db_root ]]; then
    opt_db_root=$(find_vctk "$work/downloads")
    [[ -n $opt_db_root ]] ||
      fail "no VCTK in $work/downloads: give its folder with --db-root DIR, or download it (11 GB) with: bash egs/vctk/run.sh --stage -1"
    log "corpus: $opt_db_root"
  fi
  [[ -d $opt_db_root ]] ||
    fail "--db-root $opt_db_root: no such folder; give that of VCTK, or download it (11 GB) with: bash egs/vctk/run.sh --stage -1"
fi
option_values extra-source
sources=("$opt_db_root" ${values[@]+"${values[@]}"})
prepare_options=()
[[ -n $opt_keep_speakers ]] || opt_keep_speakers=$(grep -v '^#' egs/vctk/conf/keep_speakers.txt | paste -sd, -)
[[ -z $opt_mic ]] || prepare_options+=(--mic "$opt_mic")
[[ -z $opt_keep_speakers ]] || prepare_options+=(--keep-speakers "$opt_keep_speakers")
evaluate_options=()

run_stages
((opt_stop_stage < 8)) || python recipes/summary.py "$exp"
exit "$worst_status"
