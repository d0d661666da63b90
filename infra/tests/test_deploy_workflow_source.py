"""The deploy workflow's source: Google's schema of workflows, the limits of Workflows, and what the emulator does differently."""

import copy

import jsonschema
import pytest
import yaml
from workflows_emulator.main import WORKFLOW_SCHEMA

import workflow_rules
from mocks import workflow


def test_the_source_is_valid_and_keeps_to_the_rules():
    source = workflow.source()
    parsed = yaml.safe_load(source)
    jsonschema.validate(parsed, WORKFLOW_SCHEMA)
    assert workflow_rules.problems(parsed, source) == []
    assert all(len(path.read_text().splitlines()) <= 400 for path in workflow.files())


def test_the_schema_refuses_a_step_that_does_not_exist():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"main": {"steps": [{"one": {"cal": "sys.log"}}]}}, WORKFLOW_SCHEMA)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"assign": [{"x": "${default(y, 1)}"}]}, "default"),
        ({"assign": [{"x": "${y == null}"}]}, "null"),
        ({"assign": [{"x": "is ${y}"}]}, "whole"),
        ({"assign": [{"x": '${"{}"}'}]}, "braces"),
        ({"assign": [{"x": "${" + "y + " * 100 + "y}"}]}, "longer"),
        ({"assign": [{"x": "${'y'}"}]}, "Python"),
        ({"assign": [{"x": "${http.get(y)}"}]}, "blocks"),
        ({"assign": [{"x": None}]}, "null"),
        ({"assign": [{"other": 1}]}, "subworkflow's name"),
        ({"assign": [{"x": "${unknown}"}]}, "not defined"),
        ({"assign": [{"x[unknown]": 1}]}, "not defined"),
        ({"next": "nowhere"}, "can't be reached"),
        ({"next": "break"}, "outside of a loop"),
        ({"call": "nothing"}, "there is no nothing"),
        ({"call": "other", "args": {"b": 1}}, "takes"),
        ({"call": "sys.log", "retry": "${http.default_retry}"}, "retry"),
        ({"for": {"value": "v", "in": [1], "steps": [{"a": {"return": 1}}]}, "next": "last"}, "ignores next"),
        ({"switch": [{"condition": "${a}", "assign": [{"x": 1}]}, {"condition": "${b}", "next": "last"}]}, "goes on"),
        ({"try": {"steps": [{"a": {"return": 1}}]}, "except": {"as": "e", "steps": [{"b": {"next": "last"}}]}}, "can't be reached"),
    ],
)
def test_the_rules_refuse(step, complaint):
    sound = {"main": {"steps": [{"last": {"return": 1}}]}, "other": {"params": ["a"], "steps": [{"last": {"return": 1}}]}}
    assert workflow_rules.problems(sound) == []
    broken = copy.deepcopy(sound)
    broken["main"]["steps"].insert(0, {"one": step})
    assert any(complaint in problem for problem in workflow_rules.problems(broken))


def test_parameters_have_plain_defaults():
    workflow_with_default = {"main": {"params": [{"a": {}}], "steps": [{"last": {"return": 1}}]}}
    assert workflow_rules.problems(workflow_with_default) == ["main: a default that is not documented, {'a': {}}"]
    workflow_with_default["main"]["params"] = [{"a": ""}]
    assert workflow_rules.problems(workflow_with_default) == []


@pytest.mark.parametrize(
    "block",
    [
        {"for": {"value": "v", "in": [1], "steps": [{"a": {"assign": [{"x": 1}]}}]}},
        {"try": {"steps": [{"a": {"raise": {}}}]}, "except": {"as": "e", "steps": [{"b": {"assign": [{"x": 1}]}}]}},
        {"for": {"value": "x", "in": [1], "steps": [{"a": {"assign": [{"y": "${x}"}]}}]}},
        {"try": {"steps": [{"a": {"raise": {}}}]}, "except": {"as": "x", "steps": [{"b": {"raise": "${x}"}}]}},
    ],
)
def test_what_is_assigned_in_a_block_does_not_exist_outside(block):
    main = {"main": {"steps": [{"one": block}, {"last": {"return": "${x}"}}]}}
    assert workflow_rules.problems(main) == ["main.last: x is not defined here"]
    main["main"]["steps"].insert(0, {"zero": {"assign": [{"x": 0}]}})
    assert workflow_rules.problems(main) == []
