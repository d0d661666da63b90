"""The real gcloud's own parser and formats, without a network: calls are parsed as gcloud parses them, and not run.

As a program (run by the SDK's Python, which the SDK's modules need) it reads JSON from standard input: {"calls": [[word, …], …], "shown":
[{"format", "resources"}, …]} and writes {"errors": […], "shown": […]}. As a module, `ask` finds the SDK and runs that.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile


def find_sdk():
    """The folder of the Cloud SDK whose gcloud is on the PATH, or None."""
    gcloud = shutil.which("gcloud")
    if not gcloud:
        return None
    root = os.path.dirname(os.path.dirname(os.path.realpath(gcloud)))
    if os.path.isdir(os.path.join(root, "lib", "googlecloudsdk")):
        return root
    # A wrapper of a package manager's.
    found = subprocess.run(["gcloud", "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True)
    root = found.stdout.strip()
    return root if os.path.isdir(os.path.join(root, "lib", "googlecloudsdk")) else None


def ask(calls, shown=()):
    """What gcloud's parser says of each call (None: it takes it), and how it shows the resources."""
    root = find_sdk()
    assert root, "there is no Cloud SDK"
    python = os.path.join(root, "platform", "bundledpythonunix", "bin", "python3")
    if not os.path.exists(python):
        python = sys.executable
    question = json.dumps({"root": root, "calls": list(calls), "shown": list(shown)})
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CLOUDSDK_CONFIG": folder, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
        answer = subprocess.run([python, "-E", __file__], input=question, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def main():
    question = json.load(sys.stdin)
    sys.path[:0] = [os.path.join(question["root"], "lib"), os.path.join(question["root"], "lib", "third_party")]
    from googlecloudsdk import gcloud_main
    from googlecloudsdk.core.resource import resource_printer

    # pylint: disable=protected-access
    from googlecloudsdk.calliope import cli as calliope

    from googlecloudsdk.core import log

    cli = gcloud_main.CreateCLI([])
    errors, problems = [], []
    # What is wrong is told to the log, and the usage to standard error.
    log.error = lambda message, *values: problems.append(str(message) % values if values else str(message))
    for call in question["calls"]:
        said = io.StringIO()
        problems.clear()
        try:
            with contextlib.redirect_stderr(said):
                args = cli._CLI__parser.parse_args(calliope._ApplyFlagsFile(call))
                if args.CONCEPT_ARGS is not None:
                    args.CONCEPT_ARGS.ParseConcepts()
                if getattr(args, "format", None):
                    resource_printer.Printer(args.format, out=io.StringIO())
            errors.append(None)
        except (SystemExit, KeyboardInterrupt):
            errors.append("\n".join(problems) or said.getvalue() or "refused")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    shown = []
    for one in question["shown"]:
        out = io.StringIO()
        resource_printer.Print(one["resources"], one["format"], out=out)
        shown.append(out.getvalue())
    print(json.dumps({"errors": errors, "shown": shown}))


if __name__ == "__main__":
    main()
