"""Dashboard and alerts: every metric exists, every expression can be read and does what it says, every alert has its section."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import promql_parser
import pytest

from runbook import ROOT, anchors, program, sections
from terraform_run import TERRAFORM

MODULE = ROOT / "infra" / "modules" / "observability"

# Google's own, as documented, with the labels of metric and resource that are used here.
GOOGLES = {
    "run_googleapis_com:request_count": {"monitored_resource", "service_name", "response_code_class"},
    "run_googleapis_com:container_instance_count": {"monitored_resource", "service_name", "worker_pool_name", "state"},
    "run_googleapis_com:container_cpu_utilizations_bucket": {"monitored_resource", "service_name", "le"},
    "run_googleapis_com:container_memory_utilizations_bucket": {"monitored_resource", "service_name", "le"},
    "run_googleapis_com:container_billable_instance_time": {"monitored_resource", "service_name", "worker_pool_name"},
    "pubsub_googleapis_com:subscription_oldest_unacked_message_age": {"monitored_resource", "subscription_id"},
    "pubsub_googleapis_com:subscription_num_undelivered_messages": {"monitored_resource", "subscription_id"},
    "cloudsql_googleapis_com:database_cpu_utilization": {"monitored_resource", "database_id"},
    "cloudsql_googleapis_com:database_disk_utilization": {"monitored_resource", "database_id"},
    "cloudsql_googleapis_com:database_postgresql_num_backends": {"monitored_resource", "database_id"},
}
# Ours that one good conversation does not bring about: docs/metrics.md must do for them.
OTHERWISE = {
    "parlance_bus_retries_total",
    "parlance_calls_refused_total",
    "parlance_llm_errors_total",
    "parlance_tasks_failed_total",
    "parlance_trace_spans_total",
    "parlance_webhooks_total",
}


# What Terraform makes of the module


def evaluate(folder, **variables):
    """The module's locals with all expressions evaluated by terraform, without its resources: no provider is needed."""
    for name in ("alerts.tf", "variables.tf", "dashboard.tf", "dashboard.json.tftpl"):
        shutil.copy(MODULE / name, folder)
    (folder / "outputs.tf").write_text(
        'output "alerts" {\n  value = local.alerts\n}\noutput "dashboard" {\n  value = local.dashboard\n}\n'
    )
    (folder / "terraform.tfvars.json").write_text(json.dumps({"project_id": "p", "environment": "test", **variables}))
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    for command in (["init", "-backend=false"], ["apply", "-auto-approve"]):
        done = subprocess.run([TERRAFORM, *command, "-no-color", "-input=false"], cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    outputs = json.loads((folder / "terraform.tfstate").read_text())["outputs"]
    return outputs["alerts"]["value"], json.loads(outputs["dashboard"]["value"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    assert TERRAFORM, "there is no terraform on the PATH"
    return evaluate(tmp_path_factory.mktemp("observability"), thresholds={"daily_tokens": 1_000_000})


@pytest.fixture(scope="module")
def alerts(made):
    return made[0]


@pytest.fixture(scope="module")
def queries(made):
    alerts, dashboard = made
    found = {f"alert {name}": alert["query"] for name, alert in alerts.items()}
    for tile in dashboard["mosaicLayout"]["tiles"]:
        for number, data in enumerate(tile["widget"]["xyChart"]["dataSets"]):
            found[f"tile {tile['widget']['title']} {number}"] = data["timeSeriesQuery"]["prometheusQuery"]
    return {name: query.replace("${__interval}", "5m") for name, query in found.items()}


def selectors(query):
    """(name, labels that are looked at) of all series in an expression, with the labels that are summed by."""

    def walk(node, by):
        modifier = getattr(node, "modifier", None)
        by = by | set(getattr(modifier, "labels", None) or [])
        if type(node).__name__ == "VectorSelector":
            yield node.name, {matcher.name for matcher in node.matchers.matchers} | by
        for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
            inner = getattr(node, name, None)
            for one in inner if isinstance(inner, list) else [inner]:
                if one is not None and hasattr(one, "prettify"):
                    yield from walk(one, by)

    return list(walk(promql_parser.parse(query), set()))


# The expressions


def documented():
    """Our metrics by the names of their series, each with its labels: the table of docs/metrics.md."""
    table = {}
    rows = re.findall(r"^\| `(parlance_\w+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M)
    for name, kind, labels in rows:
        labels = set(re.findall(r"`(\w+)`", labels))
        for series in [f"{name}{end}" for end in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]:
            table[series] = labels | ({"le"} if series.endswith("_bucket") else set())
    return table


def unknown(query, known):
    return [(name, labels) for name, labels in selectors(query) if not labels <= known.get(name, set()) or name not in known]


def test_all_metrics_and_labels_are_known(queries):
    known = {**documented(), **GOOGLES}
    assert len(documented()) > 20 and len(queries) > 35
    for name, query in queries.items():
        assert selectors(query), name
        assert not unknown(query, known), f"{name}: {query}"


@pytest.mark.parametrize(
    "query",
    ["sum(rate(parlance_tasks_total[5m]))", 'sum(rate(parlance_tasks_ended_total{state="failed"}[5m]))', "sum by (host) (parlance_active_tasks)"],
)
def test_a_metric_or_label_that_nobody_exports_is_found(query):
    assert unknown(query, {**documented(), **GOOGLES})


def test_a_broken_expression_is_found():
    with pytest.raises(ValueError):
        selectors("sum(rate(parlance_tasks_ended_total[5m])")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def until(probe, seconds=60):
    """Asks again until it is answered; there is nothing to wait on in a process that is starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return probe()
        except OSError:
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Names of the series that a real process has after one conversation."""
    programs = [program(name) for name in ("parlance-mock-llm", "parlance")]
    mock, port, started = free_port(), free_port(), []
    try:
        started.append(subprocess.Popen([programs[0], "--port", str(mock)], stdout=subprocess.DEVNULL))
        environment = {
            "PORT": str(port),
            "DATA_DIR": str(tmp_path_factory.mktemp("data")),
            "LLM_BASE_URL": f"http://127.0.0.1:{mock}/v1",
            "LLM_MODEL": "mock",
        }
        until(lambda: socket.create_connection(("127.0.0.1", mock), 1).close())
        started.append(subprocess.Popen([programs[1]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        base = f"http://127.0.0.1:{port}"
        until(lambda: ask(f"{base}/health/ready"))
        task = json.loads(ask(f"{base}/v1/messages", {"content": "hello"}))
        ended = json.loads(ask(f"{base}/v1/tasks/{task['task_id']}?wait=30"))
        assert ended["status"] == "completed", ended
        # It is on record a moment later.
        while len(json.loads(ask(f"{base}/v1/sessions/{task['session_id']}/messages"))["data"]) < 2:
            time.sleep(0.05)
        text = ask(f"{base}/metrics")
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
    names = set()
    for line in text.splitlines():
        # Histograms and labels of nothing yet have a type, and no samples.
        if typed := re.match(r"# TYPE (\w+) (\w+)", line):
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(typed[2], [""])
            names |= {typed[1] + end for end in ends}
    return names


def test_a_real_process_exports_them(queries, exported):
    ours = {name for query in queries.values() for name, _ in selectors(query) if name.startswith("parlance_")}
    assert ours - exported <= OTHERWISE
    assert {name for query in queries.values() for name, _ in selectors(query)} >= {"parlance_tasks_ended_total"}


# The alerts


def test_each_alert_has_its_section_and_nobody_is_called_without_one(alerts):
    there = anchors()
    text = (MODULE / "main.tf").read_text() + (MODULE / "alerts.tf").read_text() + (MODULE / "deploys.tf").read_text()
    named = set(re.findall(r'section\s*=\s*"([^"]+)"', text))
    assert {alert["section"] for alert in alerts.values()} < named
    assert named <= there, named - there
    # Each says what is seen, where to look and what to do.
    for anchor, body in sections().items():
        if anchor in named:
            assert all(f"**{word}**" in body for word in ("Seen", "Look", "Do")), anchor
    # Every policy has a documentation block with that link, and every alert is a policy.
    policies = text.count('resource "google_monitoring_alert_policy"')
    assert policies == text.count("What to do: ${var.runbook_url}#") == text.count("  documentation {") == 3
    assert "for_each = local.alerts" in text


def test_a_budget_in_tokens_is_an_alert_only_where_there_is_one(tmp_path, alerts):
    without, _ = evaluate(tmp_path)
    assert set(alerts) - set(without) == {"budget"}


def test_durations_and_severities_are_what_google_takes(alerts):
    for name, alert in alerts.items():
        assert re.fullmatch(r"\d+s", alert["duration"]) and alert["severity"] in ("CRITICAL", "ERROR", "WARNING"), name
        # Every threshold is in what is said, or there is none.
        assert alert["says"].endswith("."), name


def steady(series, value, minutes=40):
    return {"series": series, "values": f"{value}+0x{minutes}"}


def growing(series, rate, minutes=40):
    return {"series": series, "values": f"0+{rate}x{minutes}"}


AGE = "pubsub_googleapis_com:subscription_oldest_unacked_message_age"
WAITS = "pubsub_googleapis_com:subscription_num_undelivered_messages"
SQL = "cloudsql_googleapis_com:database"
REQUESTS = "run_googleapis_com:request_count"


def subscription(metric, name):
    return f'{metric}{{monitored_resource="pubsub_subscription",subscription_id="{name}"}}'


def requests(service, status):
    return f'{REQUESTS}{{monitored_resource="cloud_run_revision",service_name="{service}",response_code_class="{status}"}}'


def histogram(name, slow):
    """100 a minute, so many of them above 60 s."""
    at = [("0.5", 100 - slow), ("64", 100), ("+Inf", 100)]
    return [growing(f'parlance_{name}_bucket{{le="{le}"}}', count) for le, count in at]


def ended(completed, failed):
    return [growing(f'parlance_tasks_ended_total{{status="{status}"}}', rate) for status, rate in [("completed", completed), ("failed", failed)]]


def database(metric):
    return f'{SQL}_{metric}{{monitored_resource="cloudsql_database",database_id="p:parlance"}}'


# By alert: series under which it fires, and series under which it does not.
EXAMPLES = {
    "task-errors": [(ended(80, 20), True), (ended(98, 2), False), (ended(0, 1), False), (ended(0, 0), False), ([], False)],
    "first-token": [(histogram("time_to_first_token_seconds", 10), True), (histogram("time_to_first_token_seconds", 1), False), ([], False)],
    "oldest-unacked": [
        ([steady(subscription(AGE, "llm-worker"), 901)], True),
        ([steady(subscription(AGE, "llm-worker"), 899)], False),
        ([steady(subscription(AGE, "persist-replies"), 301)], True),
        # A receiver that is away for an hour is no reason to wake anybody.
        ([steady(subscription(AGE, "webhooks"), 3600)], False),
        ([steady(subscription(AGE, "somebody-elses"), 9_000_000)], False),
    ],
    "dead-letters": [
        ([steady(subscription(WAITS, "llm-worker-dead-letters"), 1)], True),
        ([steady(subscription(WAITS, "llm-worker-dead-letters"), 0), steady(subscription(WAITS, "llm-worker"), 50)], False),
    ],
    "persist-lag": [(histogram("persist_lag_seconds", 10), True), (histogram("persist_lag_seconds", 1), False)],
    "ingest-5xx": [
        ([growing(requests("ingest-api", "2xx"), 900), growing(requests("ingest-api", "5xx"), 20)], True),
        ([growing(requests("ingest-api", "2xx"), 9000), growing(requests("ingest-api", "5xx"), 2)], False),
        # Pub/Sub sends again what a worker answers with 5xx: that is not the callers' affair.
        ([growing(requests("ingest-api", "2xx"), 900), growing(requests("llm-worker", "5xx"), 900)], False),
        ([growing(requests("ingest-api", "2xx"), 900)], False),
    ],
    "provider-down": [
        ([steady('parlance_provider_circuit_open{provider="openai-compatible"}', 1)], True),
        # Closed for a moment by a probe.
        ([{"series": 'parlance_provider_circuit_open{provider="p"}', "values": "1 1 0 1 1 0 1 1 0 1 1 0" + " 1 1 0" * 9}], True),
        ([steady('parlance_provider_circuit_open{provider="openai-compatible"}', 0)], False),
    ],
    "database-cpu": [([steady(database("cpu_utilization"), 0.9)], True), ([steady(database("cpu_utilization"), 0.8)], False)],
    "database-disk": [([steady(database("disk_utilization"), 0.9)], True), ([steady(database("disk_utilization"), 0.8)], False)],
    "database-connections": [
        ([steady(database("postgresql_num_backends"), 81)], True),
        ([steady(database("postgresql_num_backends"), 80)], False),
    ],
    # Twice what one day may take, of which only what is not counted twice.
    "budget": [
        ([growing('parlance_tokens_total{direction="input"}', 1500, 1500)], True),
        ([growing('parlance_tokens_total{direction="input"}', 500, 1500), growing('parlance_tokens_total{direction="cached"}', 5000, 1500)], False),
    ],
}


def test_every_alert_has_examples_for_and_against(alerts):
    assert set(EXAMPLES) == set(alerts)
    for name, examples in EXAMPLES.items():
        assert {fires for _, fires in examples} == {True, False}, name


def test_alerts_fire_and_stay_silent(alerts, tmp_path):
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not promtool:
        pytest.skip("there is no promtool (Debian: prometheus): the expressions are parsed, but not evaluated")
    rules = [{"alert": name, "expr": alert["query"], "for": alert["duration"]} for name, alert in alerts.items()]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "parlance", "interval": "1m", "rules": rules}]}))
    tests = []
    for name, examples in EXAMPLES.items():
        at = "1441m" if name == "budget" else "30m"
        for series, fires in examples:
            # That it fires or not is the question, not with which labels: those are not listed by the rule's own name.
            expression = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
            expected = [{"labels": "{}", "value": 1 if fires else 0}]
            tests.append({
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [{"expr": expression, "eval_time": at, "exp_samples": expected}],
            })
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# The dashboard


def faults(dashboard):
    """What Cloud Monitoring would refuse, or nobody could read."""
    layout, found, taken = dashboard["mosaicLayout"], [], set()
    for tile in layout["tiles"]:
        title = tile["widget"].get("title")
        if tile["xPos"] + tile["width"] > layout["columns"] or layout["columns"] > 48:
            found.append(f"{title} is wider than the dashboard")
        cells = {(x, y) for x in range(tile["xPos"], tile["xPos"] + tile["width"]) for y in range(tile["yPos"], tile["yPos"] + tile["height"])}
        if cells & taken:
            found.append(f"{title} lies over another tile")
        taken |= cells
        sets = tile["widget"].get("xyChart", {}).get("dataSets", [])
        if not title or not sets:
            found.append(f"{title} shows nothing")
        for data in sets:
            query = data.get("timeSeriesQuery", {})
            if set(data) != {"plotType", "targetAxis", "legendTemplate", "timeSeriesQuery"} or set(query) != {"prometheusQuery", "unitOverride"}:
                found.append(f"{title} has other members than it should")
    return found


def test_the_dashboard_is_well_formed_and_shows_what_it_must(made):
    _, dashboard = made
    assert set(dashboard) == {"displayName", "labels", "mosaicLayout"} and not faults(dashboard)
    titles = " | ".join(tile["widget"]["title"] for tile in dashboard["mosaicLayout"]["tiles"]).lower()
    for word in ("requests at ingest", "5xx", "accept latency", "first token", "how they ended", "oldest unack", "dead letters", "persist lag", "instances", "cpu", "memory", "connections", "provider", "tokens"):
        assert word in titles, word


def test_a_crooked_dashboard_is_found(made):
    _, dashboard = made
    tiles = dashboard["mosaicLayout"]["tiles"]
    wide = json.loads(json.dumps(dashboard))
    wide["mosaicLayout"]["tiles"][2]["width"] = 17
    over = json.loads(json.dumps(dashboard))
    over["mosaicLayout"]["tiles"][3].update(xPos=tiles[0]["xPos"], yPos=tiles[0]["yPos"])
    empty = json.loads(json.dumps(dashboard))
    empty["mosaicLayout"]["tiles"][0]["widget"]["xyChart"]["dataSets"] = []
    assert all(faults(crooked) for crooked in (wide, over, empty))


# Deploys


def test_every_bad_end_of_a_deploy_calls_somebody():
    """The alert names the outcomes that the workflow itself logs as errors, and the fields that it logs."""
    workflow = (ROOT / "infra/workflows/event.yaml").read_text()
    bad = re.search(r"event\.outcome in \[([^\]]+)\]", workflow)
    bad = set(re.findall(r"\w+", bad.group(1)))
    alert = (MODULE / "deploys.tf").read_text()
    named = re.search(r"for outcome in \[([^\]]+)\]", alert)
    assert set(re.findall(r"\w+", named.group(1))) == bad >= {"rolled_back", "rollback_failed"}
    for field in re.findall(r"EXTRACT\(jsonPayload\.(\w+)\)", alert):
        assert re.search(rf"\b{field}\b", workflow), field
    assert re.search(r'section\s*=\s*"([^"]+)"', alert).group(1) in anchors()
