"""What must hold of every environment, whatever its variables say.

A policy is a function of a rendered environment (infra/tests/terraform_run.py) that gives a sentence for each thing that is wrong.
infra/tests/test_terraform_policies.py runs all of them on dev and prod, and each on an example that it must refuse
(infra/policy/broken).
"""

from . import bus, callers, database, project, roles, running, secret_values  # noqa: F401
from .rule import ALL

__all__ = ["ALL"]
