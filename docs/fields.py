"""For the site: each ``:param`` of a docstring on a line of its own, as griffe wants them."""

import re

import griffe

FIELD = re.compile(r"(?<=\S) (?=:(?:param|returns?|raises) ?[^:\n]*:)")


class OneFieldALine(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring:
            obj.docstring.value = FIELD.sub("\n", obj.docstring.value)
