#!/usr/bin/env bash
# Options of a recipe, written --name value: only declared names are taken, and every value is text that is never run.
#
# A recipe declares its options with option, then calls parse_options. The value of --stop-stage is then in
# $opt_stop_stage; option_values NAME puts those of a repeatable option into the array values.

declare -a opt_names=()
declare -a recipe_words=() # what makes the same run again, for RESULTS.md

log() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
fail() { # one sentence, without the control characters that a value may hold
  printf '%s' "error: $*" | LC_ALL=C tr '\000-\037\177' '?' >&2
  echo >&2
  exit 2
}

# option NAME KIND DEFAULT HELP. KIND: text, name (of a folder), int:LOWEST:HIGHEST (int:LOWEST: has no highest), number (not
# negative), path, list (repeatable), paths (repeatable, or with commas), flag (takes no value).
option() {
  local variable=${1//-/_}
  opt_names+=("$1")
  printf -v "opt_$variable" %s "$3"
  printf -v "opt_kind_$variable" %s "$2"
  printf -v "opt_help_$variable" %s "$4"
}

# parse_options "WHAT THE RECIPE DOES" "$@"
parse_options() {
  local about=$1 name value
  caller_dir=$PWD
  shift
  name=$(absolute "$0")
  recipe_words=(bash "${name#"$VQVC_ROOT"/}")
  for name in "${opt_names[@]}"; do printf -v "opt_count_${name//-/_}" %s 0; done
  while (($#)); do
    case $1 in
      -h | --help) _usage "$about"; exit 0 ;;
      --?*) name=${1#--} ;;
      *) fail "'$1': options are written --name value; --help lists them" ;;
    esac
    if [[ $name == *=* ]]; then
      value=${name#*=} name=${name%%=*}
      set -- "$1" "$value" "${@:2}"
    fi
    _require_declared "$name"
    if [[ $(_about kind "$name") == flag ]]; then
      [[ $1 != *=* ]] || fail "--$name: takes no value"
      printf -v "opt_${name//-/_}" yes
      [[ $name == overwrite ]] || recipe_words+=("--$name")
      shift
      continue
    fi
    (($# >= 2)) || fail "--$name: needs a value"
    _keep_option "$name" "$2"
    case $name in
      stage | stop-stage | jobs) ;;
      *) recipe_words+=("--$name" "$2") ;;
    esac
    shift 2
  done
}

# option_values NAME: the values of a repeatable option, in the order given, in the array values.
option_values() {
  local i variable=${1//-/_}
  local count=opt_count_$variable one
  values=()
  for ((i = 1; i <= ${!count}; i++)); do
    one=opt_value_${i}_$variable
    values+=("${!one}")
  done
}

_about() { # kind or help of an option
  local variable=opt_$1_${2//-/_}
  printf '%s' "${!variable}"
}

_usage() {
  local name variable shown
  printf '%s\n\noptions:\n' "$1"
  for name in "${opt_names[@]}"; do
    variable=opt_${name//-/_}
    shown=${!variable:+ (default: ${!variable})}
    [[ $(_about kind "$name") != flag ]] || shown=
    printf '  --%-16s %s%s\n' "$name" "$(_about help "$name")" "$shown"
  done
}

_require_declared() {
  local name
  if [[ $1 =~ ^[A-Za-z0-9_-]+$ ]]; then
    for name in "${opt_names[@]}"; do
      [[ $name != "$1" ]] || return 0
    done
    for name in "${opt_names[@]}"; do
      [[ ${name//-/} != "${1//[-_]/}" ]] || fail "--$1: unknown option; did you mean --$name?"
    done
  fi
  fail "--$1: unknown option; --help lists them"
}

_keep_option() { # check the value by the option's kind and keep it
  local name=$1 value=$2 kind part
  kind=$(_about kind "$name")
  case $kind in
    int:*) _keep_int "$name" "$value" "$kind"; return ;;
    number) [[ $value =~ ^[0-9]+$ || $value =~ ^[0-9]+\.[0-9]+$ ]] || fail "--$name: must be a number, not '$value'" ;;
    name) [[ -n $value && $value != */* && $value != .* && $value != -* ]] ||
      fail "--$name: must be the name of a folder, without '/' and not beginning with '.' or '-', not '$value'" ;;
    path) [[ -z $value || $value == /* ]] || value=$caller_dir/$value ;;
    list) _append "$name" "$value"; return ;;
    paths)
      while [[ -n $value ]]; do
        part=${value%%,*}
        if [[ $value == *,* ]]; then value=${value#*,}; else value=; fi
        [[ -z $part || $part == /* ]] || part=$caller_dir/$part
        [[ -z $part ]] || _append "$name" "$part"
      done
      return
      ;;
  esac
  printf -v "opt_${name//-/_}" %s "$value"
}

_keep_int() { # NAME VALUE int:LOWEST:HIGHEST; 08 is eight
  local name=$1 value=$2 low=${3#int:} high=${3##*:} sign= range
  low=${low%%:*}
  if [[ -z $high ]]; then range="$low or more"; else range="from $low to $high"; fi
  [[ $value =~ ^-?[0-9]+$ ]] || fail "--$name: must be a whole number, not '$value'"
  [[ $value != -* ]] || sign=-
  [[ $value =~ ^-?0*[0-9]{1,9}$ ]] || fail "--$name: $value is too large"
  value=$((${sign}10#${value#-}))
  ((value >= low)) && [[ -z $high || $value -le $high ]] || fail "--$name: must be $range, not $value"
  printf -v "opt_${name//-/_}" %s "$value"
}

_append() {
  local variable=${1//-/_}
  local count=opt_count_$variable
  printf -v "$count" %s "$((${!count} + 1))"
  printf -v "opt_value_${!count}_$variable" %s "$2"
}
