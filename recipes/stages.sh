#!/usr/bin/env bash
# The stages that every recipe shares: one function for each, and what chooses among them.
#
# A recipe (egs/*/run.sh) sources this file, declares its options and run_options, calls parse_options "$@", set_folders and run_stages.
# Paths in printed commands are relative to the repository's root, where every stage runs. All shell code of the recipes
# is read alike by bash 3.2, which macOS has, and by 5.x: no associative arrays, and an array that may be empty is
# written ${list[@]+"${list[@]}"}.

. "$VQVC_ROOT/recipes/machine.sh"
. "$VQVC_ROOT/recipes/options.sh"
. "$VQVC_ROOT/recipes/step.sh"

# run_options RECIPE CONF MAX_MINUTES CONVERSIONS: declares the options that all recipes have, with these defaults.
run_options() {
  option conf text "$2" "model: a name in $1/conf or recipes/conf, or a YAML file"
  option tag name "" "name of the run below exp/ (the configuration's name when not given)"
  option set list "" "a setting of the configuration, section.key=value (repeatable)"
  option max-minutes number "$3" "end training after so many minutes, its learning rate decayed"
  option prior-minutes number "" "end the training of stage 9 after so many minutes"
  option ngpu int:0: "$(gpus)" "GPUs to train on; 0 is the CPU"
  option jobs int:1: "$(cores)" "processes for preparing, packing and aligning"
  option perturb int:0: 0 "perturbed copies that stage 1 makes; training.perturbed_fraction lets the encoder read them"
  option converted int:0: 0 "converted copies that stage 1 makes with the included model, likewise"
  option conversions text "$4" "held-out speakers x target voices of stage 5"
  option results path "" "Markdown file that gets this run's section (exp/<tag>/RESULTS.md when not given)"
  option work path "$here" "folder for downloads, data, dump, align and exp"
  option overwrite flag "" "run the stages again, also where nothing has changed"
}

# make_environment: .venv in the repository with the tested versions, and puts it on PATH. A second call finishes what a
# first one could not.
make_environment() {
  local venv=$VQVC_ROOT/.venv ready=$VQVC_ROOT/.venv/.ready key
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "python3 is missing or older than 3.11; put a newer one on PATH"
  key=$(python3 recipes/fingerprint.py constraints.txt setup.py)
  if [[ ! -f $ready || $(<"$ready") != "$key" ]]; then
    log "environment: $venv"
    python3 -m venv "$venv" || fail "python3 -m venv failed; on Debian install python3-venv"
    env -u PYTHONPATH "$venv/bin/python" -m pip install -qq -c constraints.txt -e '.[dev]' >&2
    printf '%s\n' "$key" >"$ready"
  fi
  export PATH="$venv/bin:$PATH"
  hash -r
}

# --- the stages --------------------------------------------------------------------------------------------------
# A stage that runs replaces what it wrote before (--overwrite); only training continues in its folder instead.
# They read: work (data, dump, align and exp lie under it), exp, stamps, conf and the arrays sources, prepare_options and
# evaluate_options.

# has_decoder: whether the run was not trained without one (training.decoder_weight 0). The file is that of vqvc-train.
has_decoder() { ! grep -Eqs '^ +decoder_weight: 0(\.0*)?$' "$exp/config.yaml"; }

# needs_decoder STAGE: false, and a line of the log, where the run has none; ends the recipe where only that stage was asked for.
needs_decoder() {
  local why="$exp was trained without a decoder: there are codes, and no speech"
  has_decoder && return
  ((opt_stage < opt_stop_stage)) || fail "stage $1: $why; use a run with a decoder, such as --conf phones"
  log "stage $1: left out; $why"
  return 1
}

stage_prepare() { # 0: corpora -> data/{train,dev,test}
  local -a command=(vqvc-prepare)
  local source
  for source in "${sources[@]}"; do command+=(--source "$source"); done
  command+=(--out "$work/data" ${prepare_options[@]+"${prepare_options[@]}"} --jobs "$opt_jobs" --overwrite)
  inputs=("${sources[@]}") outputs=("$work/data/prepare.json" "$work/data/train/wav.scp") resumes=no
  step prepare "${command[@]}"
}

stage_pack() { # 1: data -> one 16 kHz int16 store
  inputs=("$work"/data/{train,dev,test}) outputs=("$work/dump/store.json" "$work/dump/audio.s16") resumes=yes
  local -a command=(vqvc-pack --data "$work/data" --out "$work/dump" --jobs "$opt_jobs")
  ((opt_perturb == 0)) || command+=(--perturb "$opt_perturb")
  ((opt_converted == 0)) || command+=(--converted "$opt_converted")
  step pack "${command[@]}" --overwrite
}

stage_align() { # 2: phone segments, from TextGrids or by aligning the transcripts
  local -a command=(vqvc-align --store "$work/dump" --out "$work/align" --jobs "$opt_jobs")
  inputs=("$work/dump/store.json" "$work/dump/utts.tsv") outputs=("$work/align/phones.ctm") resumes=yes
  [[ -z $opt_textgrids ]] || { command+=(--textgrids "$opt_textgrids"); inputs+=("$opt_textgrids"); }
  step align "${command[@]}" --overwrite
}

stage_train() { # 3: the model
  local -a command more=(--conf "$conf" --store "$work/dump" --out "$exp")
  local setting
  option_values set
  for setting in ${values[@]+"${values[@]}"}; do more+=(--set "$setting"); done
  [[ -z $opt_max_minutes ]] || more+=(--max-minutes "$opt_max_minutes")
  mkdir -p "$stamps"
  python -m vqvc.cli.train --conf "$conf" --show-config >"$stamps/config.yaml" # a change in one of its bases counts too
  inputs=("$stamps/config.yaml" "$work/dump/store.json" "$work/dump/utts.tsv") outputs=("$exp/model.safetensors") resumes=yes
  [[ -z ${opt_init:-} ]] || { more+=(--init "$opt_init"); inputs+=("$opt_init"); }
  train_command "$opt_ngpu" # cmd.sh: sets the array launcher
  command=("${launcher[@]}" "${more[@]}")
  quoted "${recipe_words[@]}" >"$exp/command"
  step train "${command[@]}"
}

stage_encode() { # 4: codes with their times
  inputs=("$exp/model.safetensors" "$work/dump/store.json") outputs=("$exp/codes.npz") resumes=no
  step encode vqvc-encode --model "$exp/model.safetensors" --store "$work/dump" --out "$exp/codes.npz" --overwrite
}

stage_convert() { # 5: held-out utterances, converted
  mkdir -p "$exp"
  out="$exp/wavs" awk -v n_sources="${opt_conversions%x*}" -v n_targets="${opt_conversions#*x}" \
    -f recipes/pairs.awk "$work/dump/speakers.tsv" "$work/dump/utts.tsv" "$work"/data/{dev,test,train}/wav.scp >"$exp/pairs.tsv.new"
  mv -f "$exp/pairs.tsv.new" "$exp/pairs.tsv"
  [[ -s $exp/pairs.tsv ]] || fail "$work/data: no held-out utterance has a sound file of its own; convert by hand with vqvc-convert"
  needs_decoder convert || return 0
  inputs=("$exp/model.safetensors" "$exp/pairs.tsv") outputs=("$exp/wavs") resumes=no
  step convert vqvc-convert --model "$exp/model.safetensors" --pairs "$exp/pairs.tsv" --overwrite
}

stage_probe() { # 6: phone accuracy of the codes
  inputs=("$exp/codes.npz" "$work/align/phones.ctm") outputs=("$exp/probe/probe.json") resumes=no
  step probe vqvc-probe --codes "$exp/codes.npz" --align "$work/align/phones.ctm" --store "$work/dump" --out "$exp/probe" --overwrite
}

stage_evaluate() { # 7: bits, usage, recogniser and speakers
  needs_decoder evaluate || return 0
  inputs=("$exp/model.safetensors" "$work/dump/store.json" "$exp/codes.npz" "$work/align/phones.ctm")
  outputs=("$exp/eval/evaluate.json") resumes=no
  step evaluate vqvc-evaluate --model "$exp/model.safetensors" --store "$work/dump" --codes "$exp/codes.npz" \
    --align "$work/align/phones.ctm" --out "$exp/eval" ${evaluate_options[@]+"${evaluate_options[@]}"} --overwrite
}

stage_report() { # 8: one page, and a section of RESULTS.md
  local made_by=
  inputs=("$exp/model.safetensors" "$exp/probe/probe.json") outputs=("$exp/report.html") resumes=no
  ! has_decoder || inputs+=("$exp/eval/evaluate.json")
  [[ ! -f $exp/command ]] || made_by=$(<"$exp/command")
  step report vqvc-report --exp "$exp" --out "$exp/report.html" --results "${opt_results:-$exp/RESULTS.md}" \
    --command "${made_by# }" --overwrite
}

stage_prior() { # 9: bits per code; unconditional sampling
  local prior=$exp/prior speaker
  local -a command=(vqvc-prior --codes "$exp/codes.npz" --out "$exp/prior" --conf recipes/conf/prior/wavenet.yaml)
  [[ -z $opt_prior_minutes ]] || command+=(--max-minutes "$opt_prior_minutes")
  inputs=("$exp/codes.npz" recipes/conf/prior/wavenet.yaml) outputs=("$prior/prior.safetensors") resumes=yes
  step prior "${command[@]}"
  inputs=("$exp/codes.npz" "$prior/prior.safetensors") outputs=("$prior/score.json") resumes=no
  step score vqvc-prior --score --codes "$exp/codes.npz" --out "$prior" --model "$exp/model.safetensors" --overwrite
  has_decoder || { log "stage sample: left out; $exp was trained without a decoder"; return 0; }
  speaker=$(vqvc-convert --model "$exp/model.safetensors" --list-speakers | awk -F'\t' 'NR == 1 { print $1 }')
  inputs=("$exp/model.safetensors" "$prior/prior.safetensors") outputs=("$prior/sample.wav") resumes=no
  step sample vqvc-sample --model "$exp/model.safetensors" --prior "$prior/prior.safetensors" --speaker "$speaker" \
    --seconds 5 --out "$prior/sample.wav" --overwrite
}

# set_folders RECIPE: from the options to work, conf, exp; paths below the repository are made relative to it.
set_folders() {
  local name
  work=${opt_work#"$VQVC_ROOT"/}
  for conf in "$caller_dir/$opt_conf" "$opt_conf" "$1/conf/$opt_conf.yaml" "recipes/conf/$opt_conf.yaml"; do
    [[ ! -f $conf ]] || break
  done
  [[ -f $conf ]] || fail "--conf $opt_conf: no such model; there are $(cd recipes/conf && echo *.yaml | sed 's/\.yaml//g')"
  conf=${conf#"$VQVC_ROOT"/}
  name=$(basename "$conf" .yaml)
  [[ -n $opt_tag ]] || opt_tag=$name
  [[ $opt_conversions =~ ^[1-9][0-9]*x[1-9][0-9]*$ ]] || fail "--conversions: write it as 4x4, not '$opt_conversions'"
  exp=$work/exp/$opt_tag
}

# choose_stages DEFAULT: --stage 9 alone is stage 9, whatever the default of --stop-stage.
choose_stages() {
  ((opt_stage > opt_stop_stage)) || return 0
  ((opt_stop_stage == $1)) || fail "--stop-stage: $opt_stop_stage comes before --stage $opt_stage"
  opt_stop_stage=$opt_stage
}

# run_stages: those between --stage and --stop-stage.
run_stages() {
  local number=0 name
  for name in prepare pack align train encode convert probe evaluate report prior; do
    if ((opt_stage <= number && number <= opt_stop_stage)); then
      stamps=$work/.stamps
      ((number < 3)) || stamps=$exp/.stamps
      "stage_$name"
    fi
    number=$((number + 1))
  done
  ((worst_status == 0)) || log "some items failed and were listed above (status $worst_status)"
}
