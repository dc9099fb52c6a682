"""What the guide says works has tests by the names that it gives."""

import re
import unittest

from rig import HERE

GUIDE = HERE.parents[1] / "docs" / "guide" / "flyte.md"


class Table(unittest.TestCase):
    def test_every_row_that_works_names_tests_that_are_there(self):
        _, table = GUIDE.read_text().split("## What works\n", 1)
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| ")]
        rows = rows[1:]
        self.assertGreater(len(rows), 30)
        for feature, state, *_, tests in rows:
            named = re.findall(r"`(test_\w+)\.(test_\w+)`", tests)
            if state.startswith(("works", "differs")):
                self.assertTrue(named, f"nothing shows `{feature}`")
            for module, test in named:
                self.assertIn(f"    def {test}(self", (HERE / f"{module}.py").read_text(), f"{module}.{test}")


if __name__ == "__main__":
    unittest.main()
