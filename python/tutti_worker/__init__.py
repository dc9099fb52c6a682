"""A worker for Tutti in Python, with nothing but the standard library.

    from tutti_worker import Worker

    worker = Worker("http://127.0.0.1:7200", slots=4)

    @worker.action("shop/price@1")
    def price(input, lease):
        return {"price": 2 * input["cost"]}

    worker.run()

The protocol is described in docs/reference/worker-protocol.md: one stream of JSON lines in each direction. An action that raises fails
with the text of the exception. When the connection breaks, the worker connects again, says what it still works at, and goes on with what
the server lets it keep.
"""

import json
import os
import queue
import socket
import ssl
import threading
import time
import traceback
import urllib.parse
import uuid

__all__ = ["ActionFailed", "Worker"]


class ActionFailed(Exception):
    """Raised by an action to say what kind of failure it is: user, environment, quota, preempted, …"""

    def __init__(self, message, failure_class="user"):
        super().__init__(message)
        self.failure_class = failure_class


class Worker:
    """Leases actions, runs them in threads, reports how they ended."""

    def __init__(self, server, token=None, slots=4, name=None, ca=None):
        self._url = urllib.parse.urlsplit(server)
        self._token = token or os.environ.get("TUTTI_TOKEN")
        self._slots = slots
        self._ca = ca
        self._actions = {}
        # A process that starts anew is another worker.
        self._name = name or "%s-%d-%s" % (socket.gethostname(), os.getpid(), uuid.uuid4().hex[:8])
        self._lock = threading.Lock()
        self._held = {}  # attempt -> epoch under which it is to be reported
        self._reports = queue.Queue()
        self._work = queue.Queue()
        self._stopped = threading.Event()

    def action(self, connector):
        """Declares a function as an action: `namespace/action@version`. It gets the input and the lease."""

        def declare(function):
            self._actions[connector] = function
            return function

        return declare

    def stop(self):
        """Ends `run` after the line that is being read."""
        self._stopped.set()
        self._reports.put(None)

    def run(self, retry_seconds=1.0):
        """Works until it is stopped."""
        for _ in range(self._slots):
            threading.Thread(target=self._work_on, daemon=True).start()
        while not self._stopped.is_set():
            try:
                self._converse()
            except (OSError, ValueError) as error:
                print("tutti_worker: %s; connecting again" % error, flush=True)
            self._stopped.wait(retry_seconds)

    # -- one connection ------------------------------------------------------------------------------------------------------------

    def _converse(self):
        stream = self._connect()
        try:
            answer = stream.makefile("rb")
            with self._lock:
                holding = [{"attempt": attempt, "epoch": epoch} for attempt, epoch in self._held.items()]
            hello = {"worker": self._name, "connectors": sorted(self._actions), "slots": self._slots, "holding": holding}
            self._send(stream, {"hello": hello})
            self._read_head(answer)
            lines = _chunked_lines(answer)
            welcome = json.loads(next(line for line in lines if line.strip()))
            if "error" in welcome:
                raise ValueError(welcome["error"]["detail"])
            self._hear(welcome)
            rhythm = welcome["welcome"]["lease_ms"] / 3000.0
            ended = threading.Event()
            talker = threading.Thread(target=self._talk, args=(stream, rhythm, ended), daemon=True)
            talker.start()
            try:
                for line in lines:
                    if self._stopped.is_set():
                        return
                    if line.strip():
                        self._hear(json.loads(line))
            finally:
                ended.set()
                self._reports.put(None)
                talker.join()
        finally:
            stream.close()

    def _connect(self):
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        stream = socket.create_connection((self._url.hostname, port), timeout=30)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._url.scheme == "https":
            stream = ssl.create_default_context(cafile=self._ca).wrap_socket(stream, server_hostname=self._url.hostname)
        head = ["POST /api/v1/workers/stream HTTP/1.1", "Host: %s:%d" % (self._url.hostname, port)]
        head += ["Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"]
        if self._token:
            head.append("Authorization: Bearer " + self._token)
        stream.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        return stream

    @staticmethod
    def _read_head(answer):
        status = answer.readline().decode("latin-1")
        headers = {}
        while True:
            line = answer.readline().decode("latin-1").strip()
            if not line:
                break
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        if " 200 " not in status:
            length = int(headers.get("content-length", "0"))
            raise ValueError("%s %s" % (status.strip(), answer.read(length).decode(errors="replace")))

    @staticmethod
    def _send(stream, message):
        line = json.dumps(message).encode() + b"\n"
        stream.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    def _talk(self, stream, rhythm, ended):
        """Sends reports in batches, and a sign of life when there are none."""
        while not ended.is_set():
            reports = []
            try:
                report = self._reports.get(timeout=rhythm)
                while report is not None:
                    reports.append(report)
                    report = self._reports.get_nowait()
            except queue.Empty:
                pass
            if ended.is_set() and reports:
                # The next connection sends them, if the server still wants them.
                for report in reports:
                    self._reports.put(report)
                return
            try:
                with self._lock:
                    # What is not held any more is not reported; the epoch is the one of now.
                    reports = [dict(report, epoch=self._held.pop(report["attempt"])) for report in reports if report["attempt"] in self._held]
                self._send(stream, {"reports": reports} if reports else {})
            except OSError:
                with self._lock:
                    self._held.update((report["attempt"], report["epoch"]) for report in reports)
                for report in reports:
                    self._reports.put(report)
                return

    def _hear(self, line):
        if "error" in line:
            raise ValueError(line["error"]["detail"])
        with self._lock:
            for kept in line.get("kept", []):
                self._held[kept["attempt"]] = kept["epoch"]
            for attempt in line.get("lost", []) + line.get("stop", []):
                self._held.pop(attempt, None)
            for lease in line.get("leases", []):
                self._held[lease["attempt"]] = lease["epoch"]
        for lease in line.get("leases", []):
            self._work.put(lease)

    # -- work ----------------------------------------------------------------------------------------------------------------------

    def _work_on(self):
        while True:
            lease = self._work.get()
            with self._lock:
                if lease["attempt"] not in self._held:
                    continue  # it was stopped before it began
            began = time.monotonic()
            report = {"attempt": lease["attempt"]}
            try:
                report["output"] = self._actions[lease["connector"]](lease["input"], lease) or {}
                json.dumps(report["output"])
            except ActionFailed as error:
                report = {"attempt": lease["attempt"], "error": str(error), "class": error.failure_class}
            except Exception as error:  # an action may raise anything, and the worker goes on
                # What it says comes first: one line is all that many places show.
                told = "".join(traceback.format_exception_only(type(error), error)).strip()
                report = {"attempt": lease["attempt"], "error": (told + "\n" + traceback.format_exc(limit=3))[:4000]}
            report["wall_us"] = int((time.monotonic() - began) * 1e6)
            self._reports.put(report)


def _chunked_lines(answer):
    """The lines of a body that comes in chunks."""
    rest = b""
    while True:
        size = int(answer.readline().split(b";")[0] or b"0", 16)
        if size == 0:
            return
        rest += answer.read(size)
        answer.readline()
        *lines, rest = rest.split(b"\n")
        yield from lines
