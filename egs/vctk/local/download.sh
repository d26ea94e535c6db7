#!/usr/bin/env bash
# Stage -1: fetch VCTK 0.92 (11 GB), check its SHA-256, unpack it safely. A download that was cut is resumed.
#
#   bash egs/vctk/local/download.sh --out egs/vctk/downloads [--with curl|torchaudio] [--url URL --sha256 HEX]
#
# VCTK is CC BY 4.0 (Yamagishi, Veaux, MacDonald; University of Edinburgh, https://doi.org/10.7488/ds/2645).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../path.sh"
. "$VQVC_ROOT/recipes/stages.sh"

option out path "$VQVC_ROOT/egs/vctk/downloads" "folder for the archive and for what is in it"
option with text curl "curl (resumes after a cut) or torchaudio (its own dataset class; needs the extra torchaudio)"
option url text https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip "where the archive lies"
option sha256 text f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c "what the archive must hash to"
parse_options "Fetch VCTK 0.92, check it and unpack it." "$@"


archive=$opt_out/VCTK-Corpus-0.92.zip
corpus=$opt_out/VCTK-Corpus-0.92

stop() { printf 'error: %s\n' "$*" >&2; exit 1; }

# fetch PART: download into PART, from where it ends. Status 0, 2 where that is impossible and it has to begin again, or 1.
fetch() {
  local status=0 reply
  log "stage download: curl --continue-at - --output $1 $opt_url"
  reply=$(curl --fail --location --retry 5 --continue-at - --output "$1" --write-out '%{http_code}' "$opt_url") || status=$?
  case $status:$reply in
    0:*) return 0 ;;
    33:* | 36:* | 22:416) return 2 ;; # the server sends no ranges, or has nothing after where PART ends
    *) stop "$1: the download was cut (curl: $status; $(wc -c <"$1" 2>/dev/null | tr -d ' ' || echo 0) bytes are there); run the same command again, it resumes from there" ;;
  esac
}

# has_hash FILE: whether it is the archive; sets got.
has_hash() {
  log "stage download: checking $1"
  got=$(sha256 "$1")
  [[ $got == "$opt_sha256" ]]
}

# complete PART: true when PART has become the whole archive.
complete() {
  local resumed= status=0
  if [[ -s $1 ]]; then # it may be whole: a run may have been stopped before the check
    if has_hash "$1"; then return 0; fi
    resumed=yes
  fi
  fetch "$1" || status=$?
  if ((status == 0)) && has_hash "$1"; then return 0; fi
  [[ -n $resumed ]] || return 1
  if ((status == 0)); then
    log "stage download: $1: expected SHA-256 $opt_sha256, got $got after resuming; downloading all of it again"
  else
    log "stage download: $1: the server cannot resume it; downloading all of it again"
  fi
  rm -f "$1"
  fetch "$1" && has_hash "$1"
}

if [[ -d $corpus ]]; then
  log "stage download: $corpus is there already"
  exit 0
fi
mkdir -p "$opt_out"

case $opt_with in
  torchaudio)
    # Imported late: beside some builds of torch this import fails with OSError or RuntimeError.
    exec python "$VQVC_ROOT/egs/vctk/local/torchaudio_download.py" "$opt_out"
    ;;
  curl) command -v curl >/dev/null || fail "curl is not installed; install it, or use --with torchaudio" ;;
  *) fail "--with: must be curl or torchaudio, not '$opt_with'" ;;
esac

if [[ -f $archive ]]; then
  has_hash "$archive" || stop "$archive: expected SHA-256 $opt_sha256, got $got; delete it and download again"
else
  complete "$archive.part" || {
    mv -f "$archive.part" "$archive.refused"
    stop "$archive.refused: expected SHA-256 $opt_sha256, got $got; delete it and download again"
  }
  mv -f "$archive.part" "$archive"
fi

unfinished=$corpus.partial
if [[ -e $unfinished ]]; then # a run was stopped while it unpacked: only what such a run made is removed
  [[ -f $unfinished/.unpacking ]] || stop "$unfinished: is not of this download; move it away"
  log "stage download: was stopped while unpacking; unpacking begins again"
  rm -rf "$unfinished"
fi
mkdir "$unfinished"
touch "$unfinished/.unpacking"
log "stage download: unpacking $archive"
python -m vqvc._util.archive "$archive" "$unfinished" || { rm -rf "$unfinished"; exit 1; }
rm -f "$unfinished/.unpacking"
mv "$unfinished" "$corpus"
log "stage download: done; $archive may be deleted"
