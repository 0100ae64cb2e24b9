"""Modules that the standard library imports late. The component imports them while it is built, and a scripted test as
well: a call finds no files to import.
"""

import importlib

# What `datetime.strptime` and `time.strptime` need, and the codecs that APIs use. A socket asks for `idna` before it
# is refused.
MODULES = frozenset(
    (
        "_strptime",
        "encodings.ascii",
        "encodings.cp1252",
        "encodings.idna",
        "encodings.iso8859_1",
        "encodings.iso8859_15",
        "encodings.latin_1",
        "encodings.utf_16",
        "encodings.utf_16_be",
        "encodings.utf_16_le",
        "encodings.utf_8",
        "encodings.utf_8_sig",
    )
)

for _name in MODULES:
    importlib.import_module(_name)
