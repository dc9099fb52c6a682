"""The store of objects, as clients of S3 see it: what works, and what an attempt may touch and for how long."""

import http.client
import os
import random
import unittest
import urllib.parse
import xml.etree.ElementTree

from rig import OnServer, finish, output, start, until

import botocore.exceptions
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import programs


class Store(OnServer):
    def test_a_client_of_s3_finds_what_it_knows(self):
        self.assertEqual(output(programs.uses_boto3), "all of it")

    def test_the_client_of_the_sdk_finds_what_it_knows(self):
        self.assertEqual(output(programs.uses_obstore), "all of it")

    def test_an_attempt_touches_what_is_its_own(self):
        other = finish(start(programs.square, x=2))
        found = output(programs.reaches_out, other=f"runs/acceptance/development/{other.name}")
        self.assertEqual(found, programs.REACHED)

    def test_a_key_is_over_with_its_attempt(self):
        access, secret = output(programs.gives_its_key_away).split()
        client = programs.client_of(f"http://127.0.0.1:{self.server.port}/s3", access, secret)
        with self.assertRaises(botocore.exceptions.ClientError) as refused:
            client.list_objects_v2(Bucket="tutti", Prefix="uploads/acceptance/development/")
        self.assertEqual(refused.exception.response["Error"]["Code"], "InvalidAccessKeyId")
        client = programs.client_of(f"http://127.0.0.1:{self.server.port}/s3", access, secret[::-1])
        with self.assertRaises(botocore.exceptions.ClientError) as refused:
            client.list_objects_v2(Bucket="tutti", Prefix="uploads/acceptance/development/")
        self.assertEqual(refused.exception.response["Error"]["Code"], "SignatureDoesNotMatch")


class Strange(OnServer):
    """Requests that no client makes, signed with the key of an attempt that is under way: each is answered, and none breaks anything."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_of_key = start(programs.lends_its_key)
        lent = until("the key", lambda: [line for line in cls.server.log(cls.run_of_key.name, "a0") if line.startswith("lent ")])
        _, cls.at, access, secret = lent[0].split()
        cls.credentials = Credentials(access, secret)
        cls.random = random.Random(int(os.environ.get("TUTTI_FUZZ_SEED", "7")))

    @classmethod
    def tearDownClass(cls):
        cls.run_of_key.abort()
        super().tearDownClass()

    def ask(self, method, key="", query=None, body=b"", **headers):
        """The status and the body of the answer to a request that is signed as it should be."""
        path = urllib.parse.quote(f"/s3/tutti/{key}" if key else "/s3/tutti", safe="/")
        query = "?" + urllib.parse.urlencode(query) if query else ""
        request = AWSRequest(method=method, url=f"http://127.0.0.1:{self.server.port}{path}{query}", data=body, headers=headers)
        S3SigV4Auth(self.credentials, "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, path + query, body, dict(request.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def alive(self):
        self.assertEqual(self.ask("GET", f"{self.at}/hello"), (200, b"hello, world"))

    def test_ranges_of_every_kind(self):
        content = b"hello, world"
        for text, expected in {
            "bytes=0-0": (206, b"h"), "bytes=0-": (206, content), "bytes=7-11": (206, b"world"), "bytes=7-99": (206, b"world"), "bytes=-5": (206, b"world"),
            "bytes=-99": (206, content), "bytes=12-": (416, None), "bytes=5-4": (416, None), "bytes=-0": (416, None), "bytes=-": (416, None),
            "bytes=a-b": (416, None), "bytes=99999999999999999999-": (416, None), "bytes=0-18446744073709551615": (206, content),
            "bytes=0-1,3-4": (416, None), "items=0-1": (416, None),
        }.items():  # fmt: skip
            status, body = self.ask("GET", f"{self.at}/hello", range=text)
            self.assertEqual((status, body if expected[1] is not None else None), expected, text)
        self.alive()

    def test_lists_page_by_page_whatever_their_size(self):
        names = [f"page/{name}" for name in ("a", "a/b", "a/b/c", "b", "ü", "z &<>")]
        for name in names:
            self.assertEqual(self.ask("PUT", f"{self.at}/{name}", body=b"x")[0], 200)
        expected = sorted((f"{self.at}/{name}" for name in names), key=str.encode)
        for size in ("1", "2", "3", "6", "7", "1000", "0", "-1", "many", "99999999999"):
            found, token = [], ""
            while True:
                query = {"list-type": "2", "prefix": f"{self.at}/page/", "max-keys": size, **({"continuation-token": token} if token else {})}
                status, body = self.ask("GET", query=query)
                self.assertEqual(status, 200, body)
                page = xml.etree.ElementTree.fromstring(body)
                found += [key.text for key in page.iter("Key")]
                token = page.findtext("NextContinuationToken") or ""
                if page.findtext("IsTruncated") == "false":
                    break
                self.assertTrue(token)
            self.assertEqual(found, expected, size)
        self.alive()

    def test_uploads_in_parts_that_do_not_fit_together(self):
        key = f"{self.at}/parts"
        begun = xml.etree.ElementTree.fromstring(self.ask("POST", key, {"uploads": ""})[1]).findtext("UploadId")
        for number, size in ((1, 5 << 20), (2, 3)):
            self.assertEqual(self.ask("PUT", key, {"uploadId": begun, "partNumber": number}, body=bytes(size))[0], 200)
        whole = lambda *numbers: "".join(f"<Part><PartNumber>{number}</PartNumber></Part>" for number in numbers).encode()  # noqa: E731
        for numbers in ((1, 9), (), (0,), (-1,), ("x",)):
            self.assertIn(self.ask("POST", key, {"uploadId": begun}, body=whole(*numbers))[0] // 100, (4,), numbers)
        for name in ("", "../../secret", "0" * 64, begun[:-1], "a/b"):
            for method, query in (("PUT", {"uploadId": name, "partNumber": 1}), ("POST", {"uploadId": name}), ("DELETE", {"uploadId": name})):
                self.assertLess(self.ask(method, key, query, body=whole(1))[0], 500, (method, name))
        self.assertEqual(self.ask("POST", key, {"uploadId": begun}, body=whole(1, 2))[0], 200)
        self.assertEqual(len(self.ask("GET", key)[1]), (5 << 20) + 3)
        self.alive()

    def test_whatever_is_sent_is_answered(self):
        pick = self.random.choice
        texts = ["", "a", "../..", "..", "%2e%2e/", "\x00", "ü☃", "&<>\"'", "a" * 3000, "0", "-1", "99999999999999999999", "//", "?#", "*", " ", "bytes=0-1"]
        queries = ["uploads", "uploadId", "partNumber", "list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token", "delete", "acl", "versioning"]
        headers = ["range", "if-none-match", "x-amz-copy-source", "x-amz-decoded-content-length", "content-encoding", "content-md5", "x-amz-acl"]
        bodies = [b"", b"x", b"<", b"<Delete><Object><Key>", b"<Part><PartNumber>1</PartNumber></Part>", b"\xff" * 100, b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Delete><Key>&a;</Key></Delete>"]
        outside = self.server.folder / "data/flyte/store"
        before = sorted(str(path) for path in self.server.folder.rglob("*") if path.is_file() and outside not in path.parents and "journal" not in path.name)
        for number in range(int(os.environ.get("TUTTI_FUZZ_REQUESTS", "600"))):
            key = pick([self.at, f"{self.at}/hello2", f"{self.at}/{pick(texts)}", pick(texts), f"{self.at}/../{pick(texts)}"])
            query = {pick(queries): pick(texts) for _ in range(self.random.randrange(3))}
            given = {pick(headers): pick(texts).encode("latin-1", "replace").decode("latin-1").replace("\x00", "") for _ in range(self.random.randrange(3))}
            method = pick(["GET", "HEAD", "PUT", "POST", "DELETE"])
            status, body = self.ask(method, key, query, pick(bodies), **given)
            self.assertTrue(status < 500 or status == 501, (number, method, key, query, given, status, body))
        self.alive()
        after = sorted(str(path) for path in self.server.folder.rglob("*") if path.is_file() and outside not in path.parents and "journal" not in path.name)
        self.assertEqual(after, before, "nothing was written beside the store")


if __name__ == "__main__":
    unittest.main()
