"""Model files of the paper's released code (github.com/SivilTaram), read and mapped to ours."""
