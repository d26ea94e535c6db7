# Which held-out utterances are said in which voices: written the same way every time from the same lists.
#
# Reads speakers.tsv and utts.tsv of the store, then wav.scp of dev, test and train. Prints source<TAB>speaker<TAB>out.
# Sources: n_sources speakers, evenly spaced, with the first held-out utterance of 2 to 6 s (else the longest shorter one).
# Targets: n_targets trained speakers, women and men in turn. Every target says every source that is not its own.

BEGIN { FS = "\t" }
FNR == 1 { file++ }

file == 1 && FNR > 1 { gender[$1] = tolower(substr($2, 1, 1)) }

file == 2 && FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
file == 2 && FNR > 1 {
  utt = $column["utt_id"]; speaker = $column["speaker"]; subset = $column["subset"]
  if (subset == "train" && !(speaker in trained)) { trained[speaker] = 1; order[++n_trained] = speaker }
  if (subset != "train") { speaker_of[utt] = speaker; length_of[utt] = $column["length_samples"] / 16000 }
}

file > 2 { # wav.scp: the path is everything after the first blank
  at = match($0, /[ \t]/)
  if (!at) next
  utt = substr($0, 1, at - 1); path = substr($0, at + 1)
  if (!(utt in speaker_of)) next
  speaker = speaker_of[utt]; s = length_of[utt]
  fits = (s >= 2 && s <= 6) ? 100 : (s < 2 ? s : -s)
  if (!(speaker in best)) candidates[++n_candidates] = speaker
  if (!(speaker in best) || fits > best[speaker]) { best[speaker] = fits; source[speaker] = path; source_utt[speaker] = utt }
}

END {
  for (i = 1; i <= n_trained; i++) voices[gender[order[i]] == "m" ? "m" : "f", ++count[gender[order[i]] == "m" ? "m" : "f"]] = order[i]
  while (n_chosen < n_targets && n_chosen < n_trained) {
    g = (n_chosen % 2 == 0) ? "f" : "m"
    if (taken[g] >= count[g]) g = (g == "f") ? "m" : "f"
    chosen[++n_chosen] = voices[g, ++taken[g]]
  }
  if (n_sources > n_candidates) n_sources = n_candidates
  for (i = 0; i < n_sources; i++) {
    from = candidates[int(i * n_candidates / n_sources) + 1]
    for (j = 1; j <= n_chosen; j++)
      if (chosen[j] != from) printf "%s\t%s\t%s/%s-as-%s.wav\n", source[from], chosen[j], out, source_utt[from], chosen[j]
  }
}
