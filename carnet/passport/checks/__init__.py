"""The catalogue of checks: a file a section, `validate` runs them in order."""
