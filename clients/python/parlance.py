"""What scripts share: where the server is, plain calls of the native API, and a proxy that cuts."""

import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request

URL = os.environ["PARLANCE_URL"]
CUT_URL = os.environ.get("PARLANCE_CUT_URL", URL)
KEY = os.environ.get("PARLANCE_KEY", "unused")

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, path, body=None):
    """The status and the body of a call of the native API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    try:
        with _opener.open(request, timeout=90) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def ended(task):
    """The task at its end."""
    while True:
        status, body = call("GET", f"/v1/tasks/{task}?wait=50")
        assert status == 200, body
        if body["status"] in ("completed", "failed", "cancelled"):
            return body


def cut_within(byte_count):
    """All connections through the proxy are cut within so many bytes from now on, with 0 not at all. Gives the cuts so far."""
    request = urllib.request.Request(f"{os.environ['PARLANCE_CUT_CONTROL']}/{byte_count}", data=b"", method="PUT")
    with _opener.open(request, timeout=30) as response:
        return json.loads(response.read())["cuts"]


def eventually(what, probe):
    """Asks again until there is something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


def cases(*all_cases):
    """Runs the cases one after the other, and says each one's name."""
    for case in all_cases:
        began = time.monotonic()
        name = case.__name__.replace("_", " ")
        try:
            case()
        except BaseException:
            print(f"FAILED {name}", flush=True)
            traceback.print_exc()
            sys.exit(1)
        print(f"passed {name} ({round((time.monotonic() - began) * 1000)} ms)", flush=True)
