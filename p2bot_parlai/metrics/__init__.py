"""Metrics of responses, and the significance of differences. Independent of ParlAI."""
