#!/bin/sh
# The demo: an API that throttles, drips, errs and goes dark, and 2,000 items fetched from it all the same.
# `make demo` builds what this needs and names it: DAMPER, DEMO_API and COMPONENT.
set -eu
: "${DAMPER:?run it by 'make demo'}" "${DEMO_API:?run it by 'make demo'}" "${COMPONENT:?run it by 'make demo'}"

here=$(pwd)
absolute() { case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }
damper=$(absolute "$DAMPER") demo_api=$(absolute "$DEMO_API") component=$(absolute "$COMPONENT")

folder=${DEMO_FOLDER:-$here/target/demo}
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

# It slows down, throttles with Retry-After, goes dark for six seconds, and comes back. Some answers fail or drip all along.
"$demo_api" --port-file port --latency-median-ms 150 --latency-sigma 0.5 --latency-max-ms 1500 --error-rate 0.01 \
	--malformed-rate 0.005 --drip-share 0.01 --drip-over-ms 800 --seed 1 \
	--at '9000={"latency": {"median_ms": 500}}' \
	--at '18000={"latency": {"median_ms": 150}, "rate_limit": {"per_second": 40, "burst": 20}}' \
	--at '30000={"rate_limit": null, "outage": {"after_ms": 0, "for_ms": 6000}}' \
	>demo-api.log 2>&1 &
api=$!
trap 'kill $api 2>/dev/null || true' EXIT INT TERM
tries=0
until [ -s port ]; do
	tries=$((tries + 1))
	if [ $tries -gt 100 ] || ! kill -0 $api 2>/dev/null; then
		echo "error: the demo API did not start; see $folder/demo-api.log" >&2
		exit 1
	fi
	sleep 0.1
done
origin="http://127.0.0.1:$(cat port)"

cat >damper.toml <<TOML
# The demo API speaks plain HTTP on loopback: only an operator can grant that, by name.
[providers.demo]
component = "$component"
hosts = "manifest"
private = ["$origin"]

[providers.demo.config]
base_url = "$origin"
TOML

# 2,000 items: 1,849 records, 100 of them twice, 50 that the API does not know, and one that always fails.
awk 'BEGIN {
	for (i = 1; i <= 1849; i++) {
		printf "account-%05d\n", i
		if (i % 18 == 0 && i <= 1800) printf "account-%05d\n", i - 5
		if (i % 36 == 0 && i <= 1800) printf "unknown-%05d\n", i
		if (i == 700) print "poison-00001"
	}
}' >items.txt

echo "The demo API listens on $origin. It slows down after 9 s, throttles after 18 s and is down from 30 s to 36 s."
echo "To change it while it runs, for example:"
echo "  curl -X PUT $origin/control -d '{\"error_rate\": 0.5}'"
echo
"$damper" feed demo items.txt
"$damper" run demo --charts .
echo
echo "A chart of the run: $folder/demo.svg"
echo "Next, in $folder, run for example:"
echo "  $damper status demo"
echo "  $damper dead-letters list --provider demo"
echo "  $damper export demo --format csv | head"
