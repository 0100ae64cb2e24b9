#!/bin/sh
# Tests that check.sh fails where an advisory is for one of the dependencies, and passes with the snapshot as it is.
#
#     sh tests/supply-chain/test.sh target
set -eu

folder=${1:?name a folder for what this needs, for instance target}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ADVISORIES=snapshot sh "$here/check.sh" "$folder" >"$work/said" 2>&1 || {
    cat "$work/said"
    echo "error: the snapshot of the advisories does not pass" >&2
    exit 1
}

mkdir -p "$work/database"
tar -xzf "$(ls "$here"/advisory-db-*.tar.gz)" -C "$work/database"
mkdir -p "$work/database/crates/serde_json"
cat >"$work/database/crates/serde_json/RUSTSEC-2999-0001.md" <<'ADVISORY'
```toml
[advisory]
id = "RUSTSEC-2999-0001"
package = "serde_json"
date = "2026-01-01"

[versions]
patched = []
```

# Made for this test
ADVISORY
tar -czf "$work/advisory-db-2026-01-01.tar.gz" -C "$work/database" .
if SNAPSHOT=$work/advisory-db-2026-01-01.tar.gz ADVISORIES=snapshot sh "$here/check.sh" "$folder" >"$work/said" 2>&1; then
    echo "error: a dependency with an advisory passes" >&2
    exit 1
fi
grep -q "RUSTSEC-2999-0001" "$work/said" || {
    cat "$work/said"
    echo "error: the check failed for another reason than the advisory" >&2
    exit 1
}
echo "advisories: a dependency with an advisory is refused"
