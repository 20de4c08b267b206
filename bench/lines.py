"""Count lines of code, without blank lines, comments and docstrings (`make lines`)."""

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = {
    "product": ("p2bot_parlai", "tasks", "zoo", "parlai_internal"),
    "tests": ("tests",),
}
CORPUS = ROOT / "tasks/sketch/grammar"  # sentences, not code
NOT_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    """How many lines of a Python source hold code."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            found.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(found)


def main() -> None:
    for part, folders in PARTS.items():
        files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
        sources = [file.read_text(encoding="utf-8") for file in files if CORPUS not in file.parents]
        print(f"{part}: {sum(map(code_lines, sources)):,} lines in {len(sources)} files")


if __name__ == "__main__":
    main()
