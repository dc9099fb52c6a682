"""Tables between tasks and with the client: they are files in the store, and what they are typed by is kept."""

import unittest

import pandas
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start

import programs_frames as programs


class Frames(OnServer):
    def test_tables_come_as_they_went(self):
        self.assertEqual(
            output(programs.all_frames),
            ["5.0 5", "3", "['name', 'score']", "[3, 2]", f"{sum(range(20_000)) / 2}"],
        )

    def test_a_table_that_was_seen_is_not_computed_on_again(self):
        first = output(programs.remembers, value=1)
        self.assertEqual(output(programs.remembers, value=1), first, "the same content at another address")
        self.assertNotEqual(output(programs.remembers, value=2), first)

    def test_the_client_gives_a_table_of_an_earlier_run_to_another(self):
        made = finish(start(programs.wraps, rows=4))
        self.assertEqual(made.phase, ActionPhase.SUCCEEDED)
        table = made.outputs()[0]
        self.assertTrue(table.uri.startswith("s3://tutti/"), table.uri)
        self.assertEqual(output(programs.rows_of, frame=table), 4)

    def test_pyarrow_reads_with_its_own_client(self):
        made = finish(start(programs.made_of_arrow, rows=4))
        self.assertEqual(output(programs.reads_arrow, frame=made.outputs()[0]), 6)

    def test_a_column_that_is_not_there_fails_the_task_that_wants_it(self):
        run = finish(start(programs.wants_more))
        self.assertEqual(run.phase, ActionPhase.FAILED)


if __name__ == "__main__":
    unittest.main()
