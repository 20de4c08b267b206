"""What is measured of responses, and how sure a difference is. Knows no ParlAI."""
