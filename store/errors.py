"""What the store may say.

StoreError
├── Away        the database cannot be used now; nothing was lost, try again later
│   ├── Full    its disk is full
│   └── Met     two writers made the same row; look again
├── TooLong     a report was given up, so that others are served; ask for less
├── BadData     the database refuses a value of this batch; another try will not help
├── Outdated    the schema is older or newer than this program
├── BadUrl      the setting names no database that we can use
└── BadKillPoint  the chaos hook names no point
"""


class StoreError(Exception):
    """The ledger could not do what was asked."""


class Away(StoreError):
    """The database cannot be used now."""


class Full(Away):
    """The database's disk is full: free some space; work resumes by itself."""


class Met(Away):
    """Two writers made the same row at the same time; the next look sees it."""


class TooLong(StoreError):
    """It would take too long to add up; ask for fewer days."""


class BadData(StoreError):
    """The database refuses a value."""


class Outdated(StoreError):
    """The database has another schema than this program: run `genai-spine migrate`."""


class BadUrl(StoreError):
    """GENAI_DATABASE_URL names no SQLite file and no PostgreSQL server."""


class BadKillPoint(StoreError):
    """GENAI_KILL_AT names no kill point; it is a hook for tests, unset it anywhere else."""
