"""A weir for the tests of a run, and a session of it for each test."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

FIXTURES = pathlib.Path(__file__).parent.parent / "agent" / "fixtures.yaml"


def call(url, headers, method="GET", body=None):
    """The JSON that weir answers; an AssertionError with weir's own words when it refuses."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from None


class Session:
    """Fixtures, counters and requests of one test. Its requests carry `headers`."""

    def __init__(self, url):
        self.url = url
        self.base_url = f"{url}/v1"
        self.headers = {"x-weir-session": str(uuid.uuid4())}

    def _admin(self, path, method="GET", body=None):
        return call(f"{self.url}/__weir{path}", self.headers, method, body)

    def add(self, *fixtures):
        self._admin("/fixtures", "POST", {"fixtures": fixtures})

    def next(self, response):
        self._admin("/next", "POST", {"response": response})

    def requests(self, **filters):
        return self._admin(f"/requests?{urllib.parse.urlencode(filters)}")["requests"]

    def verify(self, match, times):
        self._admin("/verify", "POST", {"match": match, "times": times})

    def reset(self):
        self._admin("/reset", "POST", {})


@pytest.fixture(scope="session")
def weir_url():
    """A weir on a free port. It ends with this process, however that ends: its input is a pipe."""
    binary = os.environ.get("WEIR_BINARY", "weir")
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                binary,
                "serve",
                "--until-stdin-ends",
                "--port=0",
                f"--fixtures={FIXTURES}",
                "--set=mock.strict=true",
                "--set=mock.delay_ms=0",
                "--set=ops.journal=bodies",
                "--set=ops.log=off",
            ],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = process.stdout.readline()
        place = re.search(r"listens on (http\S+)", line)
        assert place, f"weir did not start: {line}{process.stdout.read()}"
        yield place[1]
        process.kill()
        process.wait()


@pytest.fixture
def weir(weir_url):
    session = Session(weir_url)
    yield session
    session.reset()
