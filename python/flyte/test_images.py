"""Layered images, built as Python environments by the remote builder of the unmodified SDK."""

import unittest

from rig import OnServer, output, start

import programs_images as programs


class Images(OnServer):
    def builds(self):
        return [run for run in self.server.get("/runs")["items"] if run["workflow"].endswith("/build-image")]

    def test_packages_and_variables_are_there_and_an_image_is_built_once(self):
        self.assertEqual(output(programs.has_what_its_image_says, x=3), ["1.17.0", "mint", "task", "3"])
        [build] = self.builds()
        self.assertEqual(build["phase"], "succeeded")
        log = "\n".join(self.server.log(build["name"], "a0"))
        for words in ("[1/", "pip packages", "six==1.17.0", "is ready"):
            self.assertIn(words, log)
        self.assertEqual(output(programs.has_what_its_image_says, x=4)[3], "4")
        self.assertEqual(len(self.builds()), 1)

    def test_what_needs_a_container_is_refused_and_says_so(self):
        for task, words in ((programs.needs_debian, "graphviz"), (programs.needs_commands, "make -C /opt all")):
            with self.assertRaises(Exception):
                start(task)
            run = self.builds()[0]
            self.assertEqual(run["phase"], "failed")
            self.assertIn(words, run["failure"]["message"])
            self.assertIn("no container", run["failure"]["message"])


if __name__ == "__main__":
    unittest.main()
