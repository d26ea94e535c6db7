#!/usr/bin/env bash
# Stage -1: fetch VCTK 0.92 (11 GB), check its SHA-256, unpack it safely. A download that was cut goes on where it stopped.
#
#   bash egs/vctk/local/download.sh --out egs/vctk/downloads [--with curl|torchaudio] [--url URL --sha256 HEX]
#
# VCTK is CC BY 4.0 (Yamagishi, Veaux, MacDonald; University of Edinburgh, https://doi.org/10.7488/ds/2645).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../path.sh"
. "$VQVC_ROOT/recipes/stages.sh"

option out path "$VQVC_ROOT/egs/vctk/downloads" "folder for the archive and for what is in it"
option with text curl "curl (goes on after a cut) or torchaudio (its own dataset class; needs the extra torchaudio)"
option url text https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip "where the archive lies"
option sha256 text f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c "what the archive must hash to"
parse_options "Fetch VCTK 0.92, check it and unpack it." "$@"

archive=${opt[out]}/VCTK-Corpus-0.92.zip
corpus=${opt[out]}/VCTK-Corpus-0.92

if [[ -d $corpus ]]; then
  log "stage download: $corpus is there already"
  exit 0
fi
mkdir -p "${opt[out]}"

case ${opt[with]} in
  torchaudio)
    # Imported late: beside some builds of torch this import fails with OSError or RuntimeError.
    exec python "$VQVC_ROOT/egs/vctk/local/torchaudio_download.py" "${opt[out]}"
    ;;
  curl) command -v curl >/dev/null || fail "curl is not installed; install it, or use --with torchaudio" ;;
  *) fail "--with: must be curl or torchaudio, not '${opt[with]}'" ;;
esac

if [[ ! -f $archive ]]; then
  log "stage download: curl --continue-at - --output $archive.part ${opt[url]}"
  curl --fail --location --retry 5 --continue-at - --output "$archive.part" "${opt[url]}" || {
    status=$?
    printf 'error: %s: the download was cut (curl: %s); run the same command again, it goes on from there\n' "$archive.part" "$status" >&2
    exit 1
  }
  got=$(sha256sum "$archive.part" | cut -d' ' -f1)
  if [[ $got != "${opt[sha256]}" ]]; then
    mv -f "$archive.part" "$archive.refused"
    printf 'error: %s: expected SHA-256 %s, got %s; delete it and download again\n' "$archive.refused" "${opt[sha256]}" "$got" >&2
    exit 1
  fi
  mv -f "$archive.part" "$archive"
fi
log "stage download: unpacking $archive"
rm -rf "$corpus.partial"
python -m vqvc._util.archive "$archive" "$corpus.partial"
mv "$corpus.partial" "$corpus"
log "stage download: done; $archive may be deleted"
