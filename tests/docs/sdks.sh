#!/bin/sh
# Makes the references of the JavaScript and Python SDKs with typedoc and pdoc, each at a pinned version with its digests.
#
#     sh tests/docs/sdks.sh target
#
# $1 is the folder for the tools and the book: the references are in target/book/api-js and target/book/api-python. Where node or python
# is missing, or its registry cannot be reached, that reference is left out, which is said; with LANGUAGES=required it is a failure.
set -eu

target=${1:?name a folder to build into, for instance target}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$target/docs-tools" "$target/book"
target=$(cd "$target" && pwd)
root=$(cd "$here/../.." && pwd)
left_out=""

# is_installed NAME FILE: whether the folder $target/docs-tools/NAME has the tools of this file, whole; another file gives another folder.
is_installed() {
	digest=$(cat "$2" | cksum | cut -d ' ' -f 1)
	tools=$target/docs-tools/$1-$digest
	[ -f "$tools/.complete" ]
}

js_tools() {
	is_installed typedoc "$here/js/npm-lock.json" && return 0
	command -v npm >/dev/null || return 1
	rm -rf "$tools" && mkdir -p "$tools"
	cp "$here/js/package.json" "$tools/package.json"
	cp "$here/js/npm-lock.json" "$tools/package-lock.json"
	(cd "$tools" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) && touch "$tools/.complete"
}

python_tools() {
	is_installed pdoc "$here/python/requirements.txt" && return 0
	command -v python3 >/dev/null || return 1
	rm -rf "$tools"
	python3 -m venv "$tools" &&
		"$tools/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes \
			--requirement "$here/python/requirements.txt" >&2 &&
		touch "$tools/.complete"
}

rm -rf "$target/book/api-js" "$target/book/api-python"
if js_tools; then
	"$tools/node_modules/.bin/typedoc" --options "$here/js/typedoc.json" --tsconfig "$here/js/tsconfig.json" \
		--readme "$root/sdk/js/README.md" --out "$target/book/api-js"
	echo "API of the JavaScript SDK: $target/book/api-js/index.html"
else
	left_out="$left_out JavaScript (typedoc cannot be installed: node 20 and npm's registry are needed);"
fi
if python_tools; then
	PYTHONPATH=$root/sdk/python/src PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" -m pdoc --docformat markdown \
		--output-directory "$target/book/api-python" damper_sdk damper_sdk.testing
	echo "API of the Python SDK: $target/book/api-python/index.html"
else
	left_out="$left_out Python (pdoc cannot be installed: python 3.11 and PyPI are needed);"
fi
[ -z "$left_out" ] || echo "references left out:$left_out" >&2
[ -z "$left_out" ] || [ "${LANGUAGES:-}" != required ]
