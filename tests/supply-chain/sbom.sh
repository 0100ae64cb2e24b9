#!/bin/sh
# Writes what `damper` and the Lambda function's `bootstrap` are built of, as CycloneDX documents: target/sbom/damper.cdx.json and
# bootstrap.cdx.json.
#
#     sh tests/supply-chain/sbom.sh target
#
# $1 is the folder for the documents, and for cargo-cyclonedx, which is compiled once where it is not installed (minutes).
set -eu

VERSION=0.5.9
folder=${1:?name a folder, for instance target}
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder/sbom"
folder=$(cd "$folder" && pwd)

tools=$folder/supply-chain/cyclonedx-$VERSION
if ! cargo cyclonedx --version >/dev/null 2>&1; then
    [ -x "$tools/bin/cargo-cyclonedx" ] || cargo install --quiet --locked --version "$VERSION" --root "$tools" cargo-cyclonedx
    PATH=$tools/bin:$PATH
fi

cd "$root"
# It writes a document beside every Cargo.toml of the workspace, of which two are wanted.
name=.sbom-$$
work=$(mktemp -d)
trap 'rm -rf "$work"; find . -name "$name.json" -not -path "./target/*" -delete' EXIT
trap 'exit 130' INT TERM HUP
# The same commit gives the same bytes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "${SBOM_TARGET:-all}" --override-filename "$name"
program() {
    cargo tree --locked --package "$1" --edges normal,build --target "${SBOM_TARGET:-all}" --prefix none --format "{p}" >"$work/tree"
    python3 "$root/tests/supply-chain/sbom.py" "$root" <"$2/$name.json" 3<"$work/tree" >"$folder/sbom/$3"
}
program damper-cli host/cli damper.cdx.json
program damper-lambda host/lambda bootstrap.cdx.json
echo "sbom: $folder/sbom/damper.cdx.json, $folder/sbom/bootstrap.cdx.json"
