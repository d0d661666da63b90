#!/usr/bin/env python3
"""Trims the google provider's schema to what our modules use.

    terraform -chdir=infra/policy/broken init
    terraform -chdir=infra/policy/broken providers schema -json | infra/schema/trim.py "google 8.0.0 of …" > infra/schema/google.json

Whole resource types are kept (attributes, nesting, what is required), without descriptions: one type a line, so that a
change of the provider shows as a change of lines. Run it again after using another type, or for another version.
"""

import datetime
import json
import pathlib
import re
import sys

INFRA = pathlib.Path(__file__).resolve().parent.parent
KEPT = ("type", "required", "optional", "computed", "sensitive", "write_only", "nested_type")
# Of the provider's own block, only what we set: it has an address for each of Google's services besides.
OF_PROVIDER = ("billing_project", "default_labels", "project", "region", "user_project_override")


def trimmed(block: dict) -> dict:
    attributes = {
        name: {key: value for key, value in attribute.items() if key in KEPT}
        for name, attribute in sorted(block.get("attributes", {}).items())
    }
    nested = {
        name: {**{key: value for key, value in one.items() if key != "block"}, "block": trimmed(one["block"])}
        for name, one in sorted(block.get("block_types", {}).items())
    }
    return {key: value for key, value in (("attributes", attributes), ("block_types", nested)) if value}


def used(kind: str) -> list[str]:
    files = [file.read_text() for file in INFRA.glob("**/*.tf") if ".terraform" not in file.parts]
    return sorted({name for text in files for name in re.findall(rf'^\s*{kind} "(google_\w+)"', text, re.MULTILINE)})


def main() -> None:
    source = sys.argv[1]
    providers = json.load(sys.stdin)["provider_schemas"]
    google = providers["registry.terraform.io/hashicorp/google"]
    of_provider = google["provider"]["block"]["attributes"]
    lines = [
        f'"source": {json.dumps(source)}',
        f'"date": "{datetime.date.today()}"',
        f'"provider": {json.dumps(trimmed({"attributes": {name: of_provider[name] for name in OF_PROVIDER}}))}',
    ]
    for title, kind, schemas in (
        ("resources", "resource", google["resource_schemas"]),
        ("data_sources", "data", google["data_source_schemas"]),
    ):
        types = [
            f'  "{name}": {json.dumps({"version": schemas[name]["version"], **trimmed(schemas[name]["block"])}, separators=(",", ":"))}'
            for name in used(kind)
            if name in schemas
        ]
        lines.append(f'"{title}": {{\n' + ",\n".join(types) + "\n}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
