#!/usr/bin/env bash
# From a fresh clone to converted speech, with no download but the packages: the toolkit synthesizes its own corpus (eSpeak NG,
# eight voices, exact phone times) and every stage of the VCTK recipe runs on it. Under 12 minutes on two cores.
#
#   bash egs/mini/run.sh
#
# Stages: -2 environment, -1 corpus, then 0 prepare to 9 prior as in egs/vctk/run.sh. --smoke is the smallest form.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../vctk/path.sh"
. "$here/../vctk/cmd.sh"
. "$VQVC_ROOT/recipes/stages.sh"

option stage int:-2:9 -2 "first stage: -2 environment, -1 corpus, 0 prepare"
option stop-stage int:-2:9 8 "last stage; 9 also trains the prior over codes"
option speakers int:1: 8 "built-in voices to use"
option sentences int:1: 40 "sentences for each voice"
option smoke flag "" "the smallest form of every stage, about two minutes: shows that it runs, not that it sounds"
run_options egs/mini mini 4 3x2
smoke=(--conf smoke --max-minutes 1 --speakers 6 --sentences 12 --conversions 1x2 --prior-minutes 0.5 --work "$here/smoke")
about="The mini recipe: every stage on speech that the toolkit synthesizes itself (see egs/mini/run.sh)."
parse_options "$about" "$@"
if [[ -n $opt_smoke ]]; then # options that were given win over those of --smoke
  given=("${recipe_words[@]}")
  parse_options "$about" "${smoke[@]}" "$@"
  recipe_words=("${given[@]}")
fi
cd "$VQVC_ROOT"
set_folders "$here"
choose_stages 8

needs=(espeakng_loader pocketsphinx matplotlib jiwer)
if ((opt_stage <= -2)) && ! vqvc_ready "${needs[@]}"; then
  make_environment
fi
vqvc_ready "${needs[@]}" || fail "this environment lacks packages of the recipe; run it with --stage -2, which makes $VQVC_ROOT/.venv"

corpus=$work/downloads/mini
if ((opt_stage <= -1 && opt_stop_stage >= -1)); then
  stamps=$work/.stamps inputs=() outputs=("$corpus/speakers.tsv") resumes=no
  step corpus vqvc-synth-corpus --out "$corpus" --speakers "$opt_speakers" --sentences "$opt_sentences" \
    --jobs "$opt_jobs" --overwrite
  # one recording by the released model, before anything is trained
  for first in "$corpus"/wav/*/*.wav; do break; done
  inputs=("$first") outputs=("$work/first.wav")
  step first vqvc-convert --src "$first" --speaker p225 --out "$work/first.wav" --overwrite
  log "result: $first, and converted to speaker p225: $work/first.wav"
fi

opt_textgrids=$corpus/phones # the synthesiser's own phone times
sources=("$corpus")
prepare_options=(--unseen-speakers 0.15 --held-out-sentences 0.15)
evaluate_options=(--limit "$([[ -n $opt_smoke ]] && echo 2 || echo 6)")
run_stages
if ((opt_stage <= 5 && opt_stop_stage >= 5)); then # the same sentences by the released model
  out="$exp/released" awk -F'\t' -v OFS='\t' '!seen[$1]++ {
    name = $1; sub(/.*\//, "", name); sub(/\.[^.]*$/, "", name); print $1, "p225", ENVIRON["out"] "/" name "_to_p225.wav" }' \
    "$exp/pairs.tsv" >"$exp/released.tsv"
  stamps=$exp/.stamps inputs=("$exp/released.tsv") outputs=("$exp/released") resumes=no
  step released vqvc-convert --pairs "$exp/released.tsv" --overwrite
fi
((opt_stop_stage < 8)) || python recipes/summary.py "$exp"

exit "$worst_status"
