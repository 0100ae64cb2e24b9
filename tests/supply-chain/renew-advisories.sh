#!/bin/sh
# Replaces the snapshot of the advisory database by the database as it is now.
#
#     sh tests/supply-chain/renew-advisories.sh [REPOSITORY]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet --depth 1 "${1:-https://github.com/RustSec/advisory-db}" "$work/database"
date=$(TZ=UTC git -C "$work/database" log -1 --format=%cd --date=short-local)
git -C "$work/database" archive --format=tar HEAD crates README.md LICENSE.txt LICENSES | gzip -9n >"$work/snapshot.tar.gz"
rm -f "$here"/advisory-db-*.tar.gz
mv "$work/snapshot.tar.gz" "$here/advisory-db-$date.tar.gz"
git -C "$work/database" log -1 --format="advisory-db-$date.tar.gz: commit %H"
