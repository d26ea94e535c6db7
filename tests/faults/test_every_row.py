"""Every row of faults has a test that is named after it, and ``docs/faults.md`` lists them."""

from fault_rows import ROWS, TABLE, names_by_row, table_rows, written


def test_every_row_has_a_test_and_no_test_has_another_row():
    assert sorted(names_by_row()) == list(ROWS)


def test_the_table_has_every_row_and_names_tests_that_exist():
    rows, tests = table_rows(TABLE.read_text(encoding="utf-8")), names_by_row()
    assert list(rows) == list(ROWS)
    for row, (fault, seen, names) in rows.items():
        assert fault and seen and names, row
        gone = set(names) - set(tests[row])
        assert not gone, f"row {row}: no such tests: {', '.join(sorted(gone))}; run python tests/faults/fault_rows.py"


def test_a_table_is_written_with_the_tests_that_there_are():
    text = "| row | fault | seen | tests |\n| 1 | a \\| b | `x` | `test_row_01_old` |\n| 12 | c | d | |\n"
    done = written(text, {1: ["test_row_01_new", "test_row_01_other"], 12: ["test_row_12_x"]})
    assert table_rows(done) == {
        1: ("a \\| b", "`x`", ["test_row_01_new", "test_row_01_other"]),
        12: ("c", "d", ["test_row_12_x"]),
    }
    assert done.startswith("| row | fault | seen | tests |\n") and written(done, {}) != done
