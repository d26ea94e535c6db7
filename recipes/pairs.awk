# Which held-out utterances are converted to which speakers: written the same way every time from the same lists.
#
# Reads speakers.tsv and utts.tsv of the store, then wav.scp of dev, test and train. Prints source<TAB>speaker<TAB>out.
# Sources: n_sources speakers, evenly spaced, each with its first held-out utterance of 2 to 6 s (else one near to that).
# Targets: n_targets speakers, those with most training speech, women, men and unknown in turn. No speaker is its own target.

BEGIN { FS = "\t" }
FNR == 1 { file++ }

file == 1 && FNR > 1 { gender[$1] = match(tolower($2), /^[fm]/) ? tolower(substr($2, 1, 1)) : "" }

file == 2 && FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
file == 2 && FNR > 1 {
  utt = $column["utt_id"]; speaker = $column["speaker"]; samples = $column["length_samples"]
  if ($column["subset"] == "train") {
    if (!(speaker in trained_samples)) trained[++n_trained] = speaker
    trained_samples[speaker] += samples
  } else {
    speaker_of[utt] = speaker; seconds_of[utt] = samples / 16000
  }
}

file > 2 { # wav.scp: the path is everything after the first blank
  at = match($0, /[ \t]/)
  utt = substr($0, 1, at - 1)
  if (!(utt in speaker_of)) next
  speaker = speaker_of[utt]; s = seconds_of[utt]
  fits = (s >= 2 && s <= 6) ? 100 : (s < 2 ? s : -s)
  if (!(speaker in best)) candidates[++n_candidates] = speaker
  if (!(speaker in best) || fits > best[speaker]) {
    best[speaker] = fits; source[speaker] = substr($0, at + 1); source_utt[speaker] = utt
  }
}

# The voice of gender g with most training speech that is not taken yet, "" when there is none.
function most_heard(g,    i, speaker, found) {
  for (i = 1; i <= n_trained; i++) {
    speaker = trained[i]
    if (gender[speaker] == g && !(speaker in taken) && (!found || trained_samples[speaker] > trained_samples[found])) found = speaker
  }
  return found
}

END {
  split("f m", genders, " "); genders[3] = ""
  for (turn = 0; n_chosen < n_targets && n_chosen < n_trained; turn++)
    if (speaker = most_heard(genders[turn % 3 + 1])) { taken[speaker] = 1; chosen[++n_chosen] = speaker }
  if (n_sources > n_candidates) n_sources = n_candidates
  for (i = 0; i < n_sources; i++) {
    from = candidates[int(i * n_candidates / n_sources) + 1]
    for (j = 1; j <= n_chosen; j++)
      if (chosen[j] != from) printf "%s\t%s\t%s/%s-as-%s.wav\n", source[from], chosen[j], ENVIRON["out"], source_utt[from], chosen[j]
  }
}
