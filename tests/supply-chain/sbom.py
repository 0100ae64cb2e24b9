"""Makes a document of cargo-cyclonedx say what one program is built of.

    python3 sbom.py ROOT < all.cdx.json 3< cargo-tree > program.cdx.json

cargo-cyclonedx sees the features that the whole workspace asks for, and so lists crates that the program is built without: those that
`cargo tree` (file descriptor 3, a line "NAME vVERSION ..." for each crate) does not name are taken out. ROOT, where the workspace lies on this
machine, is taken out of all names.
"""

import json
import os
import sys

root = sys.argv[1]
document = json.loads(sys.stdin.read().replace(f"path+file://{root}/", "path+file:///"))
with os.fdopen(3) as tree:
    built = {tuple(line.split()[:2]) for line in tree if line.strip()}

document["components"] = [
    component for component in document["components"] if (component["name"], "v" + component["version"]) in built
]
kept = {component["bom-ref"] for component in document["components"]} | {document["metadata"]["component"]["bom-ref"]}
document["dependencies"] = [
    {**entry, "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}
    for entry in document["dependencies"]
    if entry["ref"] in kept
]
json.dump(document, sys.stdout, indent=1)
