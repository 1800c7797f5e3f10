"""Why the registry was not changed.

RegistryError
├── Missing     there is no such prompt, version or label
├── Taken       the tenant has a prompt of that slug
├── Stale       somebody changed it since it was read; `revision` is what it has now
└── Archived    it was put away; restore it first
"""


class RegistryError(Exception):
    """Nothing was changed."""


class Missing(RegistryError):
    """There is no such prompt, version or label."""


class Taken(RegistryError):
    """The tenant has a prompt of that slug."""


class Stale(RegistryError):
    """Somebody changed the prompt since it was read."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"somebody changed the prompt: it is at revision {revision} now; read it and try again")
        self.revision = revision


class Archived(RegistryError):
    """The prompt was put away."""
