"""The report of a program as the web app shows it: from an address that works once, where it may do nothing."""

import json
import unittest
import urllib.error

import programs_reports as programs
from rig import OnServer, finish, start


class Reports(OnServer):
    def frame(self, run):
        action = next(action["path"] for action in self.server.actions(run.name) if action["kind"] == "task")
        with self.server.call(f"/api/v1/runs/{run.name}/report?path={action}", body=b"{}", headers={"content-type": "application/json"}) as answer:
            return json.load(answer)["address"]

    def test_a_report_is_a_page_that_may_do_nothing(self):
        run = finish(start(programs.summary))
        self.assertEqual(run.outputs()[0], "written")
        address = self.frame(run)
        with self.server.call(address) as answer:
            page, headers = answer.read().decode(), answer.headers
        self.assertIn("Quarter", page)
        self.assertIn("in the second tab", page)
        self.assertTrue(headers["content-type"].startswith("text/html"))
        policy = [part.strip() for part in headers["content-security-policy"].split(";")]
        self.assertIn("sandbox", policy)
        self.assertIn("default-src 'none'", policy)
        # Without its script no tab would be shown: all are.
        self.assertIn("#flyte-frame-container>div{display:block!important", page)
        with self.assertRaises(urllib.error.HTTPError) as gone:
            self.server.call(address)
        self.assertEqual(gone.exception.code, 404)

    def test_what_wrote_none_has_none(self):
        run = finish(start(programs.silent))
        with self.assertRaises(urllib.error.HTTPError) as none:
            self.frame(run)
        self.assertEqual((none.exception.code, json.load(none.exception)["code"]), (404, "E0002"))


if __name__ == "__main__":
    unittest.main()
