"""Runs the deploy workflow's real source in workflows-emulator, each execution in a process of its own.

A process, because an execution has an environment of its own, and because one that dies must be able to die.

Four things of the emulator are put right here, as without them it could not run what Workflows can:
- `auth: {type: OIDC}` is not implemented there: the token is fetched as Google's library does it;
- a connection that is refused or cut ends the emulator: it becomes an error that the workflow can catch;
- an error in an `assign` leaves a lock behind, on which the next one waits for ever: the lock lets its own thread pass;
- a map in an expression is written down as Python and read as YAML, which spoils strings and nulls: it is written as JSON.

And one for speed: for each expression the emulator copies all variables and the whole source; here, those that it names.
"""

import functools
import json
import logging
import multiprocessing
import os
import pathlib
import re
import threading
import traceback

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account
from workflows_emulator import main as emulator
from workflows_emulator import render, utils
from workflows_emulator.lib import http_utils

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "workflows"
CLOUD_PLATFORM = ["https://www.googleapis.com/auth/cloud-platform"]
# Forked from a server that has no threads and has imported all of this already.
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload([__name__])


def files():
    return sorted(FOLDER.glob("*.yaml"))


def source():
    """As Terraform joins it."""
    return "\n".join(path.read_text() for path in files())


@functools.cache
def _key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, style = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, style, serialization.NoEncryption()).decode()



def _install(identity):
    """Puts the emulator right, for this process."""
    emulator.LOCK = threading.RLock()

    def scope(code, mode, context):
        names = compile(code, "expression", mode).co_names
        maps = utils.ContextDict({name: context[name] for name in names if name in context})
        return {**render.STANDARD_LIBRARY, **dict(dict.items(maps))}

    def run_code(code, context):
        return eval(code, scope(code, "eval", context))

    def assign_var(key, value, context):
        variables = {**scope(f"{key} = 0", "exec", context), "__value": value}
        exec(f"{key} = __value", variables)
        root = re.match(r"[^\[.]+", key)[0]
        return root, variables[root]

    render.run_code = emulator.run_code = run_code
    emulator.assign_var = assign_var
    # Each expression's value goes through a parser: the same in C, and JSON's for JSON.
    yaml.safe_load = lambda text: json.loads(text) if text[:1] in ("{", "[") else yaml.load(text, yaml.CSafeLoader)
    utils.ContextDict.__str__ = lambda self: json.dumps(self.to_dict())

    sessions = {None: requests.Session()}

    def session(auth):
        wanted = auth and (auth["type"], auth.get("audience"))
        if wanted not in sessions:
            match auth["type"]:
                case "OAuth2":
                    credentials = service_account.Credentials.from_service_account_info(identity, scopes=CLOUD_PLATFORM)
                case "OIDC":
                    make = service_account.IDTokenCredentials.from_service_account_info
                    credentials = make(identity, target_audience=auth["audience"])
            sessions[wanted] = AuthorizedSession(credentials)
            sessions[wanted].trust_env = False
        return sessions[wanted]

    def request(method, url, timeout=300, body=None, headers=None, query=None, auth=None):
        content = {"json": body} if isinstance(body, dict) else {"data": body} if body else {}
        try:
            answer = session(auth).request(method, url, headers=headers, timeout=timeout, params=query, **content)
        except requests.Timeout as error:
            raise TimeoutError(str(error)) from error
        except requests.ConnectionError as error:
            raise ConnectionError(str(error)) from error
        answer.raise_for_status()
        is_json = "application/json" in answer.headers.get("Content-Type", "")
        return {"code": answer.status_code, "headers": dict(answer.headers), "body": answer.json() if is_json else answer.text}

    http_utils.request = request
    assert render.lib_http is http_utils


class Program(dict):
    """A subworkflow's source: never changed, so never copied."""

    def __deepcopy__(self, _):
        return self


def _run(config, argument, environment, identity, pipe):
    logging.disable(logging.CRITICAL)
    os.environ.update(environment)
    _install(identity)
    try:
        # Workflows hands the argument over as main's one parameter, the emulator by its name.
        pipe.send(("SUCCEEDED", emulator.execute_workflow(config, {"event": argument})))
    except utils.WorkflowError as error:
        payload = error.payload
        pipe.send(("FAILED", payload if isinstance(payload, str) else payload.to_dict()))
    except Exception:  # the emulator itself gave up: the test shows where
        pipe.send(("BROKEN", traceback.format_exc()))


class Execution:
    """One execution; ACTIVE at Workflow Executions until it has ended."""

    def __init__(self, cloud, name, argument, settings=None):
        self.cloud, self.name = cloud, name
        environment = {
            "GOOGLE_CLOUD_PROJECT_ID": cloud.project,
            "GOOGLE_CLOUD_LOCATION": cloud.region,
            "GOOGLE_CLOUD_WORKFLOW_ID": "parlance-deploy",
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": name,
            "PARLANCE_DEPLOY": json.dumps({**fast(cloud), **(settings or {})}),
        }
        identity = {
            "type": "service_account",
            "client_email": f"{name}@deployer",
            "private_key": _key(),
            "private_key_id": "1",
            "token_uri": f"{cloud.base}/token",
        }
        config = {name: Program(steps) for name, steps in yaml.load(source(), yaml.CSafeLoader).items()}
        self.pipe, theirs = _FORK.Pipe()
        self.process = _FORK.Process(target=_run, args=(config, argument, environment, identity, theirs), daemon=True)
        cloud.executions[name] = "ACTIVE"
        self.process.start()
        theirs.close()

    def kill(self):
        """At once, and only then does Workflow Executions say so."""
        self.process.kill()
        self.cloud.executions[self.name] = "FAILED"

    def end(self, seconds=60):
        """The result; raises if the execution failed, did not end, or was killed."""
        assert self.pipe.poll(seconds), f"{self.name} has not ended"
        try:
            state, result = self.pipe.recv()
        except EOFError:
            state, result = "FAILED", "killed"
        self.process.join(10)
        self.cloud.executions[self.name] = "SUCCEEDED" if state == "SUCCEEDED" else "FAILED"
        if state != "SUCCEEDED":
            raise ExecutionFailed(state, result)
        return result


class ExecutionFailed(Exception):
    pass


def fast(cloud):
    """Settings of a test: the mock's addresses, no pauses, few polls."""
    return {
        **dict.fromkeys(["run", "registry", "monitoring", "pubsub", "executions"], cloud.base),
        **dict.fromkeys(
            ["probe_seconds", "step_seconds", "operation_seconds", "migration_seconds", "api_seconds", "chat_wait_seconds"], 0
        ),
        "audience": cloud.audience,
        "probe_polls": 3,
        "chat_polls": 3,
        "step_polls": 2,
        "operation_polls": 4,
        "migration_polls": 4,
        "turn_seconds": 0.05,
        "turn_polls": 1000,
    }
