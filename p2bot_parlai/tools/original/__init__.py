"""Conversion of model files of the paper's released code (github.com/SivilTaram)."""
