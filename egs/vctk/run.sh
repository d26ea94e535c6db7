#!/usr/bin/env bash
# VCTK (0.80 or 0.92) from the downloaded corpus to converted speech, a probe table and one page.
#
#   bash egs/vctk/run.sh --stage 0 --db-root /data/VCTK-Corpus-0.92
#
# Stages: -1 download, 0 prepare, 1 pack, 2 align, 3 train, 4 encode, 5 convert, 6 probe, 7 evaluate, 8 report, 9 prior.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/path.sh"
. "$here/cmd.sh"
. "$VQVC_ROOT/recipes/stages.sh"

option stage int 0 "first stage; -1 downloads the corpus (11 GB)"
option stop-stage int 8 "last stage; 9 also trains the prior over codes"
option db-root path "" "folder of VCTK: the one that holds wav48 or wav48_silence_trimmed"
option extra-source paths "" "another corpus to train on: a Kaldi directory or a folder per speaker (repeatable)"
option mic text "" "microphone of release 0.92: mic1 or mic2 (mic2 when not given)"
option keep-speakers text "" "speakers never kept aside as unseen, with commas (egs/vctk/conf/keep_speakers.txt)"
option textgrids path "" "folder of TextGrids (MFA's); without it the transcripts are aligned with pocketsphinx"
option conf text small "model: a name in egs/vctk/conf or recipes/conf, or a YAML file"
option tag name "" "name of the run below exp/ (the configuration's name when not given)"
option init path "" "model file to begin training from instead of random weights, to learn new voices say"
option set list "" "a setting of the configuration, section.key=value (repeatable)"
option max-minutes number "" "end training after so many minutes, its learning rate decayed"
option prior-minutes number "" "end the training of stage 9 after so many minutes"
option ngpu int "$(nvidia-smi -L 2>/dev/null | wc -l)" "GPUs to train on; 0 is the CPU"
option jobs int "$(nproc)" "processes for preparing, packing and aligning"
option conversions text 4x4 "held-out speakers x target voices of stage 5"
option results path "" "Markdown file that gets this run's section (exp/<tag>/RESULTS.md when not given)"
option work path "$here" "folder for data, dump, align and exp"
option overwrite flag "" "run the stages again, also where nothing has changed"
parse_options "VCTK from the corpus to converted speech (see egs/vctk/run.sh)." "$@"
cd "$VQVC_ROOT"
set_folders "$here"

if ((opt[stage] <= -1)); then
  bash egs/vctk/local/download.sh --out "$work/downloads"
fi
if [[ -z ${opt[db-root]} && -d $work/downloads/VCTK-Corpus-0.92 ]]; then
  opt[db-root]=$work/downloads/VCTK-Corpus-0.92
fi
if ((opt[stage] <= 0 && opt[stop-stage] >= 0)); then
  [[ -d ${opt[db-root]} ]] ||
    fail "VCTK is not at '${opt[db-root]:-(no --db-root given)}': name its folder with --db-root, or download it (11 GB) with: bash egs/vctk/run.sh --stage -1"
fi
option_list extra-source extra
sources=("${opt[db-root]}" "${extra[@]}")
prepare_options=()
[[ -n ${opt[keep-speakers]} ]] || opt[keep-speakers]=$(grep -v '^#' egs/vctk/conf/keep_speakers.txt | paste -sd,)
[[ -z ${opt[mic]} ]] || prepare_options+=(--mic "${opt[mic]}")
[[ -z ${opt[keep-speakers]} ]] || prepare_options+=(--keep-speakers "${opt[keep-speakers]}")
evaluate_options=()

run_stages
((opt[stop-stage] < 8)) || python recipes/summary.py "$exp"
exit "$worst_status"
