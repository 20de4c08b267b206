"""`zoo:p2bot/<name>/model`: build.py says where these files are."""
