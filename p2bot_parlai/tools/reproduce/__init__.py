"""The paper's Tables 1, 3 and 5 from one command: steps, tables, report. See docs/reproduce.md."""
