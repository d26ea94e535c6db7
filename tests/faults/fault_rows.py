"""The tests of each row of faults, found by their names; ``docs/faults.md`` lists them.

python tests/faults/fault_rows.py    writes the tests' names into docs/faults.md again
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROWS = range(1, 88)
TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS.parent / "docs" / "faults.md"
NAME = re.compile(r"test_row_(\d\d)_\w+")


def names_by_row() -> dict[int, list[str]]:
    """Names of test functions by the row that they begin with, in alphabetical order; the tests are read, not imported."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_row_"):
                match = NAME.fullmatch(node.name)
                found[int(match[1]) if match else 0].append(node.name)
    return {row: sorted(set(names)) for row, names in sorted(found.items())}


def table_rows(text: str) -> dict[int, tuple[str, str, list[str]]]:
    """Row -> (fault, what the user sees, names of tests) of the table; raises ValueError for a line of another form."""
    found = {}
    for line in text.splitlines():
        if re.match(r"\| *\d", line):
            number, fault, seen, tests = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            if int(number) in found:
                raise ValueError(f"row {number} stands twice")
            found[int(number)] = fault, seen, re.findall(r"`(\w+)`", tests)
    return found


def written(text: str, tests: dict[int, list[str]]) -> str:
    """The table with these tests in its last column."""

    def line(match: re.Match) -> str:
        names = tests.get(int(match[2]), [])
        return f"{match[1]} {'<br>'.join(f'`{name}`' for name in names)} |"

    return re.sub(r"(?m)^(\| *(\d+) \|.*(?<!\\)\|)[^|\n]*\|$", line, text)


if __name__ == "__main__":
    TABLE.write_text(written(TABLE.read_text(encoding="utf-8"), names_by_row()), encoding="utf-8")
