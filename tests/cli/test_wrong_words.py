"""Words that a command does not know: one line with what was perhaps meant, and status 2."""

import pytest

from vqvc.cli import convert, encode, train


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        (convert, ["a.wav", "p225"], "a.wav: belongs to no option; type for example: vqvc-convert --src a.wav --speaker p225"),
        (convert, ["--src", "a.wav", "b.wav"], "b.wav: belongs to no option"),
        (convert, ["--source=a.wav"], "--source: there is no such option; the nearest are --src"),
        (convert, ["--spea", "p225"], "--spea: there is no such option; the nearest are --speaker"),
        (convert, ["--src"], "--src: expected one argument"), (convert, ["--seed", "x"], "--seed: 'x': must be"),
        (encode, ["a.wav", "b.wav"], "b.wav: belongs to no option; type for example: vqvc-encode a.wav"),
        (train, [], "--conf"),
    ],
)  # fmt: skip
def test_wrong_words_are_one_line(command, words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith("error: ") and sentence in line and line.endswith("--help lists all options")
