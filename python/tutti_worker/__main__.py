"""`python3 -m tutti_worker SERVER`: a worker that serves `demo/double@1`, to see the protocol at work."""

import sys

from tutti_worker import ActionFailed, Worker


def main():
    worker = Worker(sys.argv[1], slots=4)

    @worker.action("demo/double@1")
    def double(input, lease):
        if input["n"] < 0:
            raise ActionFailed("negative numbers are not doubled here", "quota")
        return {"n": 2 * input["n"]}

    worker.run()


main()
