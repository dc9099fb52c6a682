"""Values of every kind between tasks, and attempts that go on where an earlier one stopped."""

import unittest

from rig import OnServer, finish, output, start

import programs_values as programs


class Values(OnServer):
    def test_values_of_every_kind_come_as_they_went(self):
        self.assertEqual(
            output(programs.all_of_it),
            [
                "3 1.5 ü True 2026-01-31T10:00:00+00:00 5400.0 blue",
                "[('a', [1, 2])]",
                "None",
                "str text",
                "ada 7",
                "5",
                "seen {'pages': [1, 2]}",
                "None (1, 'two')",
            ],
        )

    def test_a_client_gives_and_gets_models(self):
        person = programs.Person(name="ada", born=1815, lives=[])
        moved = output(programs.moves, person=person, to=programs.Address(street="x", zip_code=7))
        self.assertEqual((moved.name, moved.lives[0].zip_code), ("ada", 7))

    def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(self):
        run = finish(start(programs.goes_on))
        self.assertEqual(run.outputs()[0], "3 in attempt 3")
        self.assertEqual([action["attempts"] for action in self.server.actions(run.name)], [3])

    def test_one_that_fails_leaves_the_others_alone(self):
        self.assertEqual(output(programs.one_fails), ["0", "1", "KeyError", "3"])


if __name__ == "__main__":
    unittest.main()
