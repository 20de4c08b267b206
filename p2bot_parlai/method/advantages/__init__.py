"""From rewards to advantages (R - b in Eq. 5): one estimator per file."""
