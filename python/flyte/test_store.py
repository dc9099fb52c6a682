"""The store of objects, as clients of S3 see it: what works, and what an attempt may touch and for how long."""

import unittest

from rig import OnServer, finish, output, start

import botocore.exceptions

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


if __name__ == "__main__":
    unittest.main()
