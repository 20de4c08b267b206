"""Command-line options, one file per agent."""
