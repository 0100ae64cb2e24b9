#!/bin/sh
# The SDKs and providers that are not in Rust: their own tests, and their components, for the tests of the host. `make test` runs
# this and names what it needs: DAMPER and COMPONENTS. Where node or python is missing or too old, that language is left out, which
# is said at the end, with the reason; with LANGUAGES=required it is a failure.
set -eu
: "${DAMPER:?run it by 'make languages'}" "${COMPONENTS:?run it by 'make languages'}"
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
mkdir -p "$COMPONENTS"
ran="" left_out=""

# Whether a program is there, in this major and minor version or a newer one; else $why says why not.
has() {
	said=$("$1" --version 2>/dev/null) || {
		why="$1 is not installed"
		return 1
	}
	version=${said##* }
	version=${version#v}
	major=${version%%.*}
	rest=${version#*.}
	minor=${rest%%.*}
	if [ "$major" -lt "$2" ] || { [ "$major" -eq "$2" ] && [ "$minor" -lt "$3" ]; }; then
		why="$1 is version $version, and $2.$3 is needed"
		return 1
	fi
}

# A component that was built by an earlier run must not pass for this one's.
build() {
	name=$(basename "$1")
	rm -f "$COMPONENTS/$name.wasm"
	"$DAMPER" build "$1" -o "$COMPONENTS/$name.wasm"
}

# Unchanged source gives the same bytes, whatever was touched, from whichever folder it is built, and in another checkout.
check_rebuild() {
	name=$(basename "$1")
	touch "$1"/src/provider.* "$1"/cases/*.toml
	(cd "$1" && "$DAMPER" build . -o "$COMPONENTS/$name.again")
	same "$1" "$COMPONENTS/$name.again"
	checkout=$(mktemp -d)
	mkdir -p "$checkout/deeper"
	cp -RL "$1" "$checkout/deeper/$name"
	rm -rf "$checkout/deeper/$name/target" "$checkout/deeper/$name/node_modules"
	"$DAMPER" build "$checkout/deeper/$name" -o "$COMPONENTS/$name.again"
	same "$1" "$COMPONENTS/$name.again"
	rm -rf "$checkout" "$COMPONENTS/$name.again"
}

# Of the source in a folder, the component that was built first and another one.
same() {
	cmp "$COMPONENTS/$(basename "$1").wasm" "$2" || {
		echo "error: $1 was built twice from the same source, and the components differ" >&2
		exit 1
	}
}

# A new project of each recipe builds, passes its cases and conforms.
check_recipes() {
	for recipe in oauth2 two-step xml; do
		folder="$COMPONENTS/new-$1-$recipe"
		rm -rf "$folder"
		"$DAMPER" new recipe --lang "$1" --recipe "$recipe" --path "$folder" >/dev/null
		"$DAMPER" build "$folder"
		"$DAMPER" test "$folder"
		# An interpreter's start makes each of the many checks slow.
		[ "$1" = python ] && [ "$recipe" != xml ] || "$DAMPER" test --conformance "$folder"
		rm -rf "$folder"
	done
}

if has node 20 0 && has npm 8 0; then
	(cd sdk/js && npm test --silent)
	(cd providers/gleif-js && npm install --offline --no-audit --no-fund --no-package-lock --silent && npm test --silent)
	(cd docs/recipes/js && npm install --offline --no-audit --no-fund --no-package-lock --silent && npm test --silent)
	build providers/gleif-js
	check_rebuild providers/gleif-js
	build tests/fixtures/providers/defects-js
	check_recipes js
	ran="$ran JavaScript"
else
	rm -f "$COMPONENTS/gleif-js.wasm" "$COMPONENTS/defects-js.wasm"
	left_out="$left_out JavaScript ($why);"
fi

if has python3 3 11; then
	export PYTHONDONTWRITEBYTECODE=1
	(cd sdk/python && PYTHONPATH=src python3 -W error -m unittest discover -s tests)
	(cd providers/gleif-python && python3 -W error -m unittest)
	(cd docs/recipes/python && PYTHONPATH=../../../sdk/python/src:. python3 -W error -m unittest discover -s tests)
	build providers/gleif-python
	check_rebuild providers/gleif-python
	build tests/fixtures/providers/hostile-python
	check_recipes python
	ran="$ran Python"
else
	rm -f "$COMPONENTS/gleif-python.wasm" "$COMPONENTS/hostile-python.wasm"
	left_out="$left_out Python ($why);"
fi

echo "languages: ran${ran:- none}; left out:${left_out:- none}"
[ -z "$left_out" ] || [ "${LANGUAGES:-}" != required ]
