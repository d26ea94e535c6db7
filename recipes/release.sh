#!/usr/bin/env bash
# From a finished run to a released model: the model file, its prior, figures, card, README and samples.
#
#   bash recipes/release.sh --run egs/vctk/exp/small --name vctk-small-3.1 --strangers exp/strangers/dump \
#     --clips my_clips.tsv --speakers p225,bdl
#   bash recipes/release.sh --run egs/vctk/exp/small --name vctk-small-3.1 --steps evaluate,text
#
# Steps: model, encode, prior, evaluate, text, samples. Each prints its command and is skipped while its command and its
# inputs have not changed. What they write in the repository is to be read, completed and committed by hand.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../egs/vctk/path.sh"
. "$VQVC_ROOT/recipes/machine.sh"
. "$VQVC_ROOT/recipes/options.sh"
. "$VQVC_ROOT/recipes/step.sh"

option run path "" "folder of the run: its model.safetensors, or its checkpoints where training was not finished"
option name name "" "name of the model file in vqvc/models, without .safetensors"
option steps text model,encode,prior,evaluate,text,samples "which steps, with commas"
option store path "" "packed store of the run (dump beside the run's exp folder when not given)"
option strangers path "" "packed store of speakers that the model was not trained on, for the evaluation"
option prior-minutes number 7 "end the training of the prior after so many minutes"
option recogniser text whisper "recogniser of the evaluation"
option speaker-encoder text ge2e "speaker encoder of the evaluation"
option limit int:1: 64 "utterances to convert in the evaluation"
option targets text "" "target speakers of the evaluation, with commas (those with most speech when not given)"
option evaluate-options text "" "further options of vqvc-evaluate, such as '--each 1 --few-count 24'"
option clips path "" "lines of recording<TAB>caption<TAB>attribution, for the samples"
option speakers text "" "target speakers of the samples, with commas"
option models path "$VQVC_ROOT/vqvc/models" "folder of released models"
option readme path "$VQVC_ROOT/README.md" "file whose figures are replaced"
option samples path "$VQVC_ROOT/docs/samples" "folder of the pages of samples"
option overwrite flag "" "run the steps again, also where nothing has changed"
parse_options "From a finished run to a released model (see recipes/release.sh)." "$@"
cd "$VQVC_ROOT"
[[ -n $opt_run ]] || fail "--run: give the folder of a training run, such as egs/vctk/exp/small"
[[ -d $opt_run ]] || fail "--run $opt_run: no such folder; give that of a training run, such as egs/vctk/exp/small"
[[ -n $opt_name ]] || fail "--name: give the name of the model file, such as vctk-small"

run=${opt_run#"$VQVC_ROOT"/} models=${opt_models#"$VQVC_ROOT"/} readme=${opt_readme#"$VQVC_ROOT"/} pages=${opt_samples#"$VQVC_ROOT"/}
store=${opt_store:-$(dirname "$(dirname "$opt_run")")/dump}
store=${store#"$VQVC_ROOT"/}
stamps=$run/.stamps/release

step_model() { # the model file, from the last checkpoint where training was not finished, and the name that is loaded
  if [[ ! -f $run/model.safetensors ]]; then
    inputs=("$run/config.yaml" "$store/store.json") outputs=("$run/model.safetensors") resumes=yes
    step finish vqvc-train --conf "$run/config.yaml" --store "$store" --out "$run" --max-minutes 0.01
  fi
  inputs=("$run/model.safetensors") outputs=("$models/$opt_name.safetensors") resumes=no
  step model cp "$run/model.safetensors" "$models/$opt_name.safetensors"
  step name python recipes/release.py name --models "$models" "$opt_name"
}

step_encode() { # codes of the whole store
  inputs=("$run/model.safetensors" "$store/store.json") outputs=("$run/codes.npz") resumes=no
  step encode vqvc-encode --model "$run/model.safetensors" --store "$store" --out "$run/codes.npz" --overwrite
}

step_prior() { # the prior over them
  mkdir -p "$models/prior"
  inputs=("$run/codes.npz" recipes/conf/prior/wavenet.yaml) outputs=("$run/prior/prior.safetensors") resumes=yes
  step prior vqvc-prior --codes "$run/codes.npz" --out "$run/prior" --conf prior/wavenet --max-minutes "$opt_prior_minutes"
  inputs=("$run/codes.npz" "$run/prior/prior.safetensors") outputs=("$run/prior/score.json") resumes=no
  step score vqvc-prior --score --codes "$run/codes.npz" --out "$run/prior" --model "$run/model.safetensors" --overwrite
  inputs=("$run/prior/prior.safetensors") outputs=("$models/prior/prior.safetensors")
  step prior-file cp "$run/prior/prior.safetensors" "$models/prior/prior.safetensors"
}

evaluate=(vqvc-evaluate --model "$run/model.safetensors" --store "$store" --out "$run/eval" --recogniser "$opt_recogniser"
  --speaker-encoder "$opt_speaker_encoder" --limit "$opt_limit")
[[ -z $opt_strangers ]] || evaluate+=(--strangers "${opt_strangers#"$VQVC_ROOT"/}")
[[ -z $opt_targets ]] || evaluate+=(--targets "$opt_targets")
read -r -a further <<<"$opt_evaluate_options"
evaluate+=(${further[@]+"${further[@]}"})

step_evaluate() { # words, speakers, pitch, quality, codes
  inputs=("$run/model.safetensors" "$store/store.json") outputs=("$run/eval/evaluate.json") resumes=no
  [[ ! -f $run/codes.npz ]] || inputs+=("$run/codes.npz")
  [[ -z $opt_strangers ]] || inputs+=("$opt_strangers/store.json")
  step evaluate "${evaluate[@]}" --overwrite
}

step_text() { # the figures of the card and the README
  local command
  command=$(quoted "${evaluate[@]}")
  inputs=("$run/model.safetensors" "$run/eval/evaluate.json") outputs=("$models/README.md" "$readme") resumes=no
  step text python recipes/release.py text --run "$run" --name "$opt_name" --command "${command# }" "$models/README.md" "$readme"
}

step_samples() { # the page of samples
  local clip caption attribution seen=$'\n'
  local -a command=(python docs/make_samples.py --model "$models/$opt_name.safetensors" --out "$pages/$opt_name" --title "$opt_name: samples")
  [[ -n $opt_clips ]] || fail "--clips: give a list of recordings for the samples, or leave samples out of --steps"
  [[ -n $opt_speakers ]] || fail "--speakers: give the target speakers of the samples"
  [[ -f $opt_clips ]] || fail "--clips $opt_clips: no such file"
  command+=(--speakers "$opt_speakers")
  inputs=("$models/$opt_name.safetensors" "$opt_clips") outputs=("$pages/$opt_name/index.html") resumes=no
  while IFS=$'\t' read -r clip caption attribution || [[ -n $clip ]]; do
    [[ -n $clip ]] || continue
    command+=(--clip "$clip" --caption "${caption:-$(basename "$clip")}")
    [[ -z $attribution || $seen == *$'\n'$attribution$'\n'* ]] || command+=(--attribution "$attribution")
    seen+=$attribution$'\n'
    inputs+=("$clip")
  done <"$opt_clips"
  step samples "${command[@]}" --overwrite
}

wanted=,$opt_steps,
for name in ${opt_steps//,/ }; do
  [[ ,model,encode,prior,evaluate,text,samples, == *",$name,"* ]] || fail "--steps: there is no step '$name'; there are model, encode, prior, evaluate, text and samples"
done
for name in model encode prior evaluate text samples; do
  [[ $wanted != *",$name,"* ]] || "step_$name"
done
((worst_status == 0)) || log "some items failed and were listed above (status $worst_status)"
exit "$worst_status"
