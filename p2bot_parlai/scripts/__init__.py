"""Sub-commands of `parlai`: each module here registers one with @register_script."""
