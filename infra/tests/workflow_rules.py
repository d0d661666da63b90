"""What a workflow's source must keep to, so that workflows-emulator and Workflows do the same with it, and Workflows takes it.

Limits are those of Google's documentation, read November 2026.
"""

import re

EXPRESSION_LENGTH = 400
SOURCE_SIZE = 128 * 1024
VARIABLES_OF_ASSIGN = 50
PARAMETERS = 10
STANDARD = re.compile(r"(http|sys|json|text|base64|list|map|math|time|uuid)\.[a-z_]+")
# Evaluated as Python there: these mean something else, or nothing.
FOREIGN = re.compile(r"\b(default|if|null|true|false|True|False|None|get_type|keys|lambda)\b(?!\.)")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def problems(workflow, source=""):
    """All of them, each as a sentence with its place."""
    found = []
    if len(source) > SOURCE_SIZE:
        found.append("the source is longer than Workflows takes")
    named = re.findall(r"^([a-z_]+):$", source, re.MULTILINE)
    found += [f"{name} is defined twice" for name in sorted(set(named)) if named.count(name) > 1]
    for name, body in workflow.items():
        if len(body.get("params", [])) > PARAMETERS:
            found.append(f"{name}: too many parameters")
        for parameter in body.get("params", []):
            if isinstance(parameter, dict) and not isinstance(next(iter(parameter.values())), (str, int, float)):
                found.append(f"{name}: a default that is not documented, {parameter}")
        variables = {key if isinstance(key, str) else next(iter(key)) for key in body.get("params", [])}
        _steps(workflow, body["steps"], name, [], found, variables, in_except=False, in_loop=False)
        if not _ends(body["steps"]):
            found.append(f"{name}: does not end with return or raise")
        _scope(body["steps"], name, {key if isinstance(key, str) else next(iter(key)) for key in body.get("params", [])}, found)
        found += [f"{name}: {variable} is a subworkflow's name" for variable in sorted(variables & set(workflow))]
    return found


def _ends(steps):
    """Whether the last of them returns or raises, whatever happens."""
    last = next(iter(steps[-1].values()))
    if "try" in last:
        return _ends(last["try"]["steps"]) and _ends(last["except"]["steps"])
    return bool({"return", "raise"} & set(last))


def _steps(workflow, steps, where, outer, found, variables, in_except, in_loop):
    names = [next(iter(step)) for step in steps]
    found += [f"{where}: step {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    # A jump out of an except is not documented; within one it is.
    reach = names if in_except else outer + names
    for step in steps:
        name, body = next(iter(step.items()))
        _step(workflow, body, f"{where}.{name}", reach, found, variables, in_except, in_loop)


def _step(workflow, body, where, reach, found, variables, in_except, in_loop):
    for key in ("args", "return", "raise", "assign", "condition"):
        if key in body:
            _expressions(body[key], f"{where}.{key}", found)
    if "next" in body:
        if body["next"] in ("break", "continue"):
            if not in_loop or in_except:
                found.append(f"{where}: {body['next']} outside of a loop, or out of an except")
        elif body["next"] not in reach:
            found.append(f"{where}: next goes to {body['next']}, which can't be reached")
        if {"try", "for", "steps"} & set(body):
            found.append(f"{where}: the emulator ignores next here")
    for assignment in body.get("assign", []):
        variables.add(re.split(r"[.\[]", next(iter(assignment)))[0])
    if len(body.get("assign", [])) > VARIABLES_OF_ASSIGN:
        found.append(f"{where}: too many assignments")
    if "result" in body:
        variables.add(body["result"])
    if "call" in body:
        _call(workflow, body, where, found)
    _switch(workflow, body.get("switch", []), where, reach, found, variables, in_except, in_loop)
    if "retry" in body:
        found.append(f"{where}: the emulator's retry ignores initial_delay, loop instead")
    if "parallel" in body:
        found.append(f"{where}: the emulator's parallel has semantics of its own")
    if "for" in body:
        loop = body["for"]
        variables |= {loop[key] for key in ("value", "index") if key in loop}
        _expressions(loop.get("in", loop.get("range")), f"{where}.for", found)
        _steps(workflow, loop["steps"], where, reach, found, variables, in_except, in_loop=True)
    if "try" in body:
        _steps(workflow, body["try"]["steps"], where, reach, found, variables, in_except, in_loop)
        if "except" not in body:
            found.append(f"{where}: the emulator needs an except")
    if "except" in body:
        variables.add(body["except"]["as"])
        _steps(workflow, body["except"]["steps"], where, reach, found, variables, in_except=True, in_loop=in_loop)
    if "steps" in body:
        _steps(workflow, body["steps"], where, reach, found, variables, in_except, in_loop)


def _switch(workflow, conditions, where, reach, found, variables, in_except, in_loop):
    for position, branch in enumerate(conditions):
        if position < len(conditions) - 1 and not {"next", "return", "raise"} & set(branch):
            found.append(f"{where}[{position}]: the emulator goes on with the next condition after this one")
        _step(workflow, branch, f"{where}[{position}]", reach, found, variables, in_except, in_loop)


def _call(workflow, body, where, found):
    called, given = body["call"], set(body.get("args", {}))
    if called in workflow:
        known, needed = set(), set()
        for parameter in workflow[called].get("params", []):
            if isinstance(parameter, str):
                needed.add(parameter)
            known.add(parameter if isinstance(parameter, str) else next(iter(parameter)))
        if not needed <= given or not given <= known:
            found.append(f"{where}: {called} takes {sorted(known)} and is given {sorted(given)}")
    elif not STANDARD.fullmatch(called):
        found.append(f"{where}: there is no {called}")


def _expressions(value, where, found):
    if isinstance(value, dict):
        for key, inner in value.items():
            _expressions(inner, f"{where}.{key}", found)
    elif isinstance(value, list):
        for inner in value:
            _expressions(inner, where, found)
    elif value is None:
        found.append(f"{where}: null does not survive in the emulator")
    elif isinstance(value, str) and "${" in value:
        inner = value[2:-1]
        bare = STRING.sub('""', inner)
        if not (value.startswith("${") and value.endswith("}")) or "}" in inner or "${" in inner:
            found.append(f"{where}: an expression is the whole of a value and has no braces: {value}")
        if len(value) > EXPRESSION_LENGTH:
            found.append(f"{where}: the expression is longer than {EXPRESSION_LENGTH}")
        if foreign := FOREIGN.search(bare):
            found.append(f"{where}: {foreign[0]} means something else in the emulator: {value}")
        if "'" in bare or re.search(r"\[[^\]]*:", bare):
            found.append(f"{where}: Python, not an expression of Workflows: {value}")
        for function in re.findall(r"\b([a-z0-9]+\.[a-z0-9_]+)\(", bare):
            if function.split(".")[0] in ("http",) or function in ("sys.sleep", "sys.log"):
                found.append(f"{where}: {function} blocks and can't be in an expression")


# Scopes: what is first assigned in a `for` or an `except` does not exist outside of it (Workflows refuses the source; the emulator
# knows no such scope of `except`). A `try`, a `switch` and `steps` have none of their own.

NAMES = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\b(?!\()")
NO_VARIABLES = {"and", "or", "not", "in", "sys", "json", "text", "base64", "list", "map", "math", "time", "uuid", "http"}


def _scope(steps, where, outer, found):
    inside = outer | _assigned(steps)
    for step in steps:
        name, body = next(iter(step.items()))
        _names(body, f"{where}.{name}", inside, found)


def _assigned(steps):
    """What these steps assign in their own scope."""
    names = set()
    for step in steps:
        for body in step.values():
            names |= _assigned_by(body)
    return names


def _assigned_by(body):
    names = {re.split(r"[.\[]", next(iter(assignment)))[0] for assignment in body.get("assign", [])}
    names |= {body["result"]} if "result" in body else set()
    for branch in body.get("switch", []):
        names |= _assigned_by(branch)
    for inner in (body.get("steps", []), body.get("try", {}).get("steps", [])):
        names |= _assigned(inner)
    return names


def _names(body, where, inside, found):
    for key, value in body.items():
        match key:
            case "for":
                loop = {value[name] for name in ("value", "index") if name in value}
                _used(value.get("in", value.get("range")), where, inside, found)
                _scope(value["steps"], where, inside | loop, found)
            case "except":
                _scope(value["steps"], where, inside | {value["as"]}, found)
            case "try":
                for step in value["steps"]:
                    _names(next(iter(step.values())), where, inside, found)
            case "steps":
                for step in value:
                    _names(next(iter(step.values())), where, inside, found)
            case "switch":
                for branch in value:
                    _names(branch, where, inside, found)
            case "assign":
                for assignment in value:
                    target, expression = next(iter(assignment.items()))
                    indices = "".join(re.findall(r"\[([^\]]*)\]", target))
                    _used("${" + indices + "}", where, inside, found)
                    _used(expression, where, inside, found)
            case _:
                _used(value, where, inside, found)


def _used(value, where, inside, found):
    if isinstance(value, dict):
        for inner in value.values():
            _used(inner, where, inside, found)
    elif isinstance(value, list):
        for inner in value:
            _used(inner, where, inside, found)
    elif isinstance(value, str) and value.startswith("${"):
        for name in set(NAMES.findall(STRING.sub('""', value[2:-1]))) - NO_VARIABLES - inside:
            found.append(f"{where}: {name} is not defined here")
