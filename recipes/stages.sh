#!/usr/bin/env bash
# What every recipe shares: options, logging, stamps, and one function for each stage.
#
# A recipe (egs/*/run.sh) sources this file, declares its options, calls parse_options "$@" and then run_stages.
# Paths in printed commands are relative to the repository's root, where every stage runs.

declare -A opt=() opt_kind=() opt_help=()
declare -a opt_order=()
declare -a recipe_words=()
worst_status=0 # 3 once a stage listed items that failed

log() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# --- options -----------------------------------------------------------------------------------------------------

# option NAME KIND DEFAULT HELP. KIND: text, name (of a folder), int, number, path, list, paths (repeatable, or with
# commas), flag (takes no value).
option() {
  opt_order+=("$1")
  opt_kind[$1]=$2
  opt[$1]=$3
  opt_help[$1]=$4
}

usage() {
  printf '%s\n\noptions:\n' "$1"
  local name shown
  for name in "${opt_order[@]}"; do
    shown=${opt[$name]:+ (default: ${opt[$name]})}
    [[ ${opt_kind[$name]} == flag ]] && shown=
    printf '  --%-16s %s%s\n' "$name" "${opt_help[$name]}" "$shown"
  done
}

# Check VALUE by the option's kind and keep it. A value is text: nothing in it is ever run.
_keep_option() {
  local name=$1 value=$2 part
  case ${opt_kind[$name]} in
    int) [[ $value =~ ^-?[0-9]+$ ]] || fail "--$name: must be a whole number, not '$value'" ;;
    number) [[ $value =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--$name: must be a number, not '$value'" ;;
    name) [[ -n $value && $value != */* && $value != .* && $value != -* ]] ||
      fail "--$name: must be the name of a folder, without '/' and not beginning with '.' or '-', not '$value'" ;;
    path) [[ -z $value || $value == /* ]] || value=$PWD/$value ;;
    list | paths)
      local -a parts=("$value")
      [[ ${opt_kind[$name]} == paths ]] && IFS=, read -r -d '' -a parts < <(printf '%s\0' "$value")
      for part in "${parts[@]}"; do
        [[ -n $part ]] || continue
        [[ ${opt_kind[$name]} == list || $part == /* ]] || part=$PWD/$part
        opt[$name.${opt[$name.count]:-0}]=$part
        opt[$name.count]=$((${opt[$name.count]:-0} + 1))
      done
      return
      ;;
  esac
  opt[$name]=$value
}

# parse_options "WHAT THE RECIPE DOES" "$@": only declared names are taken, as --name value or --name=value.
parse_options() {
  local about=$1 name value near
  caller_dir=$PWD
  shift
  name=$(realpath "$0")
  recipe_words=(bash "${name#"$VQVC_ROOT"/}") # what makes the same run again, for RESULTS.md
  while (($#)); do
    case $1 in
      -h | --help) usage "$about"; exit 0 ;;
      --?*) name=${1#--} ;;
      *) fail "'$1': options are written --name value; --help lists them" ;;
    esac
    value=
    if [[ $name == *=* ]]; then
      value=${name#*=} name=${name%%=*}
      set -- "$1" "$value" "${@:2}"
    fi
    if [[ ! -v opt_kind[$name] ]]; then
      for near in "${opt_order[@]}"; do
        [[ ${near//-/} == "${name//[-_]/}" ]] && fail "--$name: unknown option; did you mean --$near?"
      done
      fail "--$name: unknown option; --help lists them"
    fi
    if [[ ${opt_kind[$name]} == flag ]]; then
      [[ $1 != *=* ]] || fail "--$name: takes no value"
      opt[$name]=yes
      [[ $name == overwrite ]] || recipe_words+=("--$name")
      shift
      continue
    fi
    (($# >= 2)) || fail "--$name: needs a value"
    _keep_option "$name" "$2"
    [[ $name =~ ^(stage|stop-stage|jobs)$ ]] || recipe_words+=("--$name" "$2")
    shift 2
  done
}

# option_list NAME ARRAY: the values of a repeatable option, in the order given.
option_list() {
  local -n _values=$2
  local i
  _values=()
  for ((i = 0; i < ${opt[$1.count]:-0}; i++)); do _values+=("${opt[$1.$i]}"); done
}

# --- one step: print, skip or run, stamp -------------------------------------------------------------------------

_describe() { # what an input holds: a file by its hash, a folder by its listing with sizes and times
  if [[ -d $1 ]]; then
    (cd "$1" && find -L . -type f -printf '%p\t%s\t%T@\n' | LC_ALL=C sort)
  else
    sha256sum <"$1"
  fi
}

_fingerprint() { # of the command's words and of its inputs; the number of processes changes nothing that is written
  local input word before=
  {
    for word in "$@"; do [[ $before == --jobs ]] || printf '%s\0' "$word"; before=$word; done
    for input in "${inputs[@]}"; do _describe "$input"; done
  } | sha256sum | cut -d' ' -f1
}

_quoted() { # words as they can be typed
  local word
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./,:=@%+-]+$ ]]; then printf ' %s' "$word"; else printf ' %s' "${word@Q}"; fi
  done
}

# step NAME COMMAND...: runs the command unless NAME's stamp says that it was done with these words and these inputs.
# Reads the arrays inputs and outputs. Status 3 (some items failed and were listed) goes on and is kept for the end.
step() {
  local name=$1 stamp=$stamps/$1 input output key status=0 done_key='' done_status=0
  shift
  for input in "${inputs[@]}"; do
    [[ -e $input ]] || fail "stage $name: $input is missing; run the stage that writes it first (--stage)"
  done
  key=$(_fingerprint "$@")
  [[ -f $stamp ]] && read -r done_key done_status <"$stamp"
  for output in "${outputs[@]}"; do [[ -e $output ]] || done_key=; done
  if [[ $key == "$done_key" && -z ${opt[overwrite]} ]]; then
    log "stage $name: up to date"
    ((done_status == 0)) || worst_status=$done_status
    return
  fi
  log "stage $name:$(_quoted "$@")"
  rm -f "$stamp"
  "$@" || status=$?
  case $status in
    0) ;;
    3) worst_status=3; log "stage $name: some items failed and were listed; going on with the others" ;;
    130 | 143) log "stage $name: stopped by a signal; the same command goes on from here"; exit "$status" ;;
    *) log "stage $name: failed with status $status; what it said stands above"; exit "$status" ;;
  esac
  mkdir -p "$stamps"
  printf '%s %s\n' "$key" "$status" >"$stamp.new.$$"
  mv -f "$stamp.new.$$" "$stamp"
}

# make_environment: .venv in the repository with the tested versions, and puts it on PATH. Goes on after a cut.
make_environment() {
  local venv=$VQVC_ROOT/.venv ready=$VQVC_ROOT/.venv/.ready key
  key=$(cat constraints.txt setup.py | sha256sum | cut -d' ' -f1)
  if [[ ! -f $ready || $(<"$ready") != "$key" ]]; then
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is older than 3.10; put a newer one on PATH"
    log "environment: $venv"
    python3 -m venv "$venv" || fail "python3 -m venv failed; on Debian install python3-venv"
    env -u PYTHONPATH "$venv/bin/python" -m pip install -qq -c constraints.txt -e '.[dev]' >&2
    printf '%s\n' "$key" >"$ready"
  fi
  export PATH="$venv/bin:$PATH"
  hash -r
}

# --- the stages --------------------------------------------------------------------------------------------------
# A stage that runs replaces what it wrote before (--overwrite); only training goes on in its folder instead.
# They read: work (data, dump, align and exp lie under it), exp, stamps, conf and the arrays sources, prepare_options and
# evaluate_options.

stage_prepare() { # 0: corpora -> data/{train,dev,test}
  local -a from=()
  local source
  for source in "${sources[@]}"; do from+=(--source "$source"); done
  inputs=("${sources[@]}") outputs=("$work/data/prepare.json")
  step prepare vqvc-prepare "${from[@]}" --out "$work/data" "${prepare_options[@]}" --jobs "${opt[jobs]}" --overwrite
}

stage_pack() { # 1: data -> one 16 kHz int16 store
  inputs=("$work"/data/{train,dev,test}) outputs=("$work/dump/store.json" "$work/dump/audio.s16")
  step pack vqvc-pack --data "$work/data" --out "$work/dump" --jobs "${opt[jobs]}" --overwrite
}

stage_align() { # 2: phone segments, from TextGrids or by aligning the transcripts
  local -a given=()
  inputs=("$work/dump/store.json" "$work/dump/utts.tsv") outputs=("$work/align/phones.ctm")
  [[ -z ${opt[textgrids]} ]] || { given=(--textgrids "${opt[textgrids]}"); inputs+=("${opt[textgrids]}"); }
  step align vqvc-align --store "$work/dump" --out "$work/align" --jobs "${opt[jobs]}" "${given[@]}" --overwrite
}

stage_train() { # 3: the model
  local -a more=() settings=()
  local setting
  option_list set settings
  for setting in "${settings[@]}"; do more+=(--set "$setting"); done
  [[ -z ${opt[max-minutes]} ]] || more+=(--max-minutes "${opt[max-minutes]}")
  inputs=("$conf" "$work/dump/store.json" "$work/dump/utts.tsv") outputs=("$exp/model.safetensors")
  [[ -z ${opt[init]:-} ]] || more+=(--init "${opt[init]}") inputs+=("${opt[init]}")
  train_command "${opt[ngpu]}" # cmd.sh: sets the array launcher
  mkdir -p "$exp"
  _quoted "${recipe_words[@]}" >"$exp/command"
  step train "${launcher[@]}" --conf "$conf" --store "$work/dump" --out "$exp" "${more[@]}"
}

stage_encode() { # 4: codes with their times
  inputs=("$exp/model.safetensors" "$work/dump/store.json") outputs=("$exp/codes.npz")
  step encode vqvc-encode --model "$exp/model.safetensors" --store "$work/dump" --out "$exp/codes.npz" --overwrite
}

stage_convert() { # 5: held-out utterances in other voices
  mkdir -p "$exp"
  awk -v out="$exp/wavs" -v n_sources="${opt[conversions]%x*}" -v n_targets="${opt[conversions]#*x}" \
    -f recipes/pairs.awk "$work/dump/speakers.tsv" "$work/dump/utts.tsv" "$work"/data/{dev,test,train}/wav.scp >"$exp/pairs.tsv.new"
  mv -f "$exp/pairs.tsv.new" "$exp/pairs.tsv"
  [[ -s $exp/pairs.tsv ]] || fail "$work/data: no held-out utterance has a sound file of its own; convert by hand with vqvc-convert"
  inputs=("$exp/model.safetensors" "$exp/pairs.tsv") outputs=("$exp/wavs")
  step convert vqvc-convert --model "$exp/model.safetensors" --pairs "$exp/pairs.tsv" --overwrite
}

stage_probe() { # 6: what the codes know of phones
  inputs=("$exp/codes.npz" "$work/align/phones.ctm") outputs=("$exp/probe/probe.json")
  step probe vqvc-probe --codes "$exp/codes.npz" --align "$work/align/phones.ctm" --store "$work/dump" --out "$exp/probe" --overwrite
}

stage_evaluate() { # 7: bits, usage, recogniser and voices
  inputs=("$exp/model.safetensors" "$work/dump/store.json" "$exp/codes.npz" "$work/align/phones.ctm")
  outputs=("$exp/eval/evaluate.json")
  step evaluate vqvc-evaluate --model "$exp/model.safetensors" --store "$work/dump" --codes "$exp/codes.npz" \
    --align "$work/align/phones.ctm" --out "$exp/eval" "${evaluate_options[@]}" --overwrite
}

stage_report() { # 8: one page, and a section of RESULTS.md
  inputs=("$exp/model.safetensors" "$exp/probe/probe.json" "$exp/eval/evaluate.json") outputs=("$exp/report.html")
  local made_by=
  [[ ! -f $exp/command ]] || made_by=$(<"$exp/command")
  step report vqvc-report --exp "$exp" --out "$exp/report.html" --results "${opt[results]:-$exp/RESULTS.md}" \
    --command "${made_by# }" --overwrite
}

stage_prior() { # 9: bits per code; speech from nothing
  local prior=$exp/prior speaker
  local -a more=()
  [[ -z ${opt[prior-minutes]} ]] || more=(--max-minutes "${opt[prior-minutes]}")
  inputs=("$exp/codes.npz" recipes/conf/prior/wavenet.yaml) outputs=("$prior/prior.safetensors")
  step prior vqvc-prior --codes "$exp/codes.npz" --out "$prior" --conf recipes/conf/prior/wavenet.yaml "${more[@]}"
  inputs=("$exp/codes.npz" "$prior/prior.safetensors") outputs=("$prior/score.json")
  step score vqvc-prior --score --codes "$exp/codes.npz" --out "$prior" --model "$exp/model.safetensors" --overwrite
  speaker=$(vqvc-convert --model "$exp/model.safetensors" --list-speakers | sed -n '1s/\t.*//;1p')
  inputs=("$exp/model.safetensors" "$prior/prior.safetensors") outputs=("$prior/sample.wav")
  step sample vqvc-sample --model "$exp/model.safetensors" --prior "$prior/prior.safetensors" --speaker "$speaker" \
    --seconds 5 --out "$prior/sample.wav" --overwrite
}

# set_folders RECIPE: from the options to work, conf, exp and stamps; paths below the repository are made relative to it.
set_folders() {
  local name
  work=${opt[work]#"$VQVC_ROOT"/}
  for conf in "$caller_dir/${opt[conf]}" "${opt[conf]}" "$1/conf/${opt[conf]}.yaml" "recipes/conf/${opt[conf]}.yaml"; do
    [[ -f $conf ]] && break
  done
  [[ -f $conf ]] || fail "--conf ${opt[conf]}: no such model; there are $(cd recipes/conf && echo *.yaml | sed 's/\.yaml//g')"
  conf=${conf#"$VQVC_ROOT"/}
  name=$(basename "$conf" .yaml)
  [[ -n ${opt[tag]} ]] || opt[tag]=$name
  [[ ${opt[conversions]} =~ ^[1-9][0-9]*x[1-9][0-9]*$ ]] || fail "--conversions: write it as 4x4, not '${opt[conversions]}'"
  exp=$work/exp/${opt[tag]}
}

run_stages() { # those between --stage and --stop-stage
  local number=0 name
  for name in prepare pack align train encode convert probe evaluate report prior; do
    if ((opt[stage] <= number && number <= opt[stop-stage])); then
      stamps=$work/.stamps
      ((number < 3)) || stamps=$exp/.stamps
      "stage_$name"
    fi
    number=$((number + 1))
  done
  ((worst_status == 0)) || log "some items failed and were listed above (status $worst_status)"
}
