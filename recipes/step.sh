#!/usr/bin/env bash
# One step of a recipe: print its command, run it unless its stamp is that of a finished step, check what it wrote.

worst_status=0 # 3 once a step listed items that failed

# step NAME COMMAND...: runs the command unless NAME's stamp shows that it was done with these words and these inputs.
# Reads stamps (a folder), the arrays inputs and outputs, and resumes (yes where the command continues unfinished work).
# Status 3 (some items failed and were listed) goes on when there are outputs, and is kept for the end.
step() {
  local name=$1 stamp=$stamps/$1 path key status=0 done_key='' done_status=0
  shift
  for path in ${inputs[@]+"${inputs[@]}"}; do
    [[ -e $path ]] || fail "stage $name: $path is missing; run the stage that writes it first (--stage)"
  done
  key=$(python "$VQVC_ROOT/recipes/fingerprint.py" ${inputs[@]+"${inputs[@]}"} -- "$@") || fail "stage $name: its inputs cannot be read"
  [[ ! -f $stamp ]] || read -r done_key done_status <"$stamp" || true
  [[ $done_status =~ ^[03]$ ]] || done_key=
  for path in "${outputs[@]}"; do
    [[ -e $path ]] || done_key=
  done
  if [[ $key == "$done_key" && -z $opt_overwrite ]]; then
    log "stage $name: up to date"
    ((done_status == 0)) || worst_status=$done_status
    return 0
  fi
  _refuse_while_another_runs "$name"
  _report_what_was_stopped "$name" "$key"
  log "stage $name:$(quoted "$@")"
  mkdir -p "$stamps"
  rm -f "$stamp"
  printf '%s %s\n' "$key" "$$" >"$stamp.started"
  "$@" || status=$?
  case $status in
    0 | 3) ;;
    130 | 143) log "stage $name: stopped by a signal; the same command $(_afterwards)"; exit "$status" ;;
    137) log "stage $name: was killed (out of memory?); the same command $(_afterwards)"; exit "$status" ;;
    127) fail "stage $name: $1 is not installed; in a new environment: pip install -c constraints.txt -e '.[dev]'" ;;
    *)
      rm -f "$stamp.started"
      log "stage $name: failed with status $status; the reason stands above"
      exit "$status"
      ;;
  esac
  rm -f "$stamp.started"
  for path in "${outputs[@]}"; do
    _holds_something "$path" || {
      log "stage $name: ended with status $status, but nothing usable is in $path; the reason stands above"
      exit 1
    }
  done
  if ((status == 3)); then
    worst_status=3
    log "stage $name: some items failed and were listed; continuing with the others"
  fi
  printf '%s %s\n' "$key" "$status" >"$stamp.new.$$"
  mv -f "$stamp.new.$$" "$stamp"
}

# quoted WORD...: words as they can be typed, each with a blank before it.
quoted() {
  local word
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./,:=@%+-]+$ ]]; then
      printf ' %s' "$word"
    else
      printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"
    fi
  done
}

_afterwards() { if [[ ${resumes:-} == yes ]]; then echo "continues what is unfinished"; else echo "begins again"; fi; }

_refuse_while_another_runs() { # the mark that a step leaves while it runs names the process of its run.sh
  local mark=$stamps/$1.started key process=
  [[ ! -f $mark ]] || read -r key process <"$mark" || true
  if [[ $process =~ ^[0-9]+$ ]] && kill -0 "$process" 2>/dev/null && [[ $(_command_of "$process") == *run.sh* ]]; then
    log "stage $1: another run (process $process) is at work on it; wait for it to end, or stop it"
    exit 1
  fi
}

_command_of() { ps -p "$1" -o args= 2>/dev/null || tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null; }

_report_what_was_stopped() { # the mark stays where a step, or this script, was killed
  local mark=$stamps/$1.started key=
  [[ -f $mark ]] || return 0
  read -r key _ <"$mark" || true
  if [[ $key == "$2" ]]; then
    log "stage $1: was stopped midway; $(_afterwards)"
  else
    log "stage $1: was stopped midway with other settings or inputs; these are used now"
  fi
}

_holds_something() { # a file that is not empty, or a folder that is not
  if [[ -d $1 ]]; then [[ -n $(ls -A "$1") ]]; else [[ -s $1 ]]; fi
}
