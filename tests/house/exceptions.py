"""Where a house rule makes code worse: rule -> file (or file:function) -> reason.

A line that excuses nothing any more fails the test too, so the table stays true.
"""

EXCEPTIONS: dict[str, dict[str, str]] = {
    "function length": {},
    "module length": {},
    "broad except": {},
    "print": {},
    "binary float": {},
    "docstring": {},
    "words": {},
}
