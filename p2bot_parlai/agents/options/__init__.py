"""Command-line options, one file an agent."""
