"""The REST interface under /api/v1, for programs: the use cases of the command line as documents of JSON.

Its description is at /api/v1/openapi.json; docs/api.md says how to begin. Names of fields are those of the command
line's `--json`. Lists are read page by page: `next_before` of one page is `before` of the following one.
"""
