#!/bin/sh
# The demo: an API that throttles, drips, fails and is down for a while, and 2,000 items fetched from it; then three
# vendors of an industry standard. `make demo` builds what this needs and names it: DAMPER, DEMO_API and COMPONENTS.
set -eu
: "${DAMPER:?run it by 'make demo'}" "${DEMO_API:?run it by 'make demo'}" "${COMPONENTS:?run it by 'make demo'}"

here=$(pwd)
absolute() { case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }
damper=$(absolute "$DAMPER") demo_api=$(absolute "$DEMO_API") components=$(absolute "$COMPONENTS")

folder=${DEMO_FOLDER:-$here/target/demo}
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

cat <<TEXT
The first part fetches 2,000 items from an API on this machine, one request each. The API misbehaves:

  from the start  1.5% of its answers are errors or damaged, 1% arrive in drips, and it refuses requests without a key
  after  9 s      it answers in 500 ms instead of 150 ms
  after 18 s      it allows 40 requests a second and refuses the rest (429 with Retry-After)
  after 30 s      it is down for 6 s

Damper adapts its concurrency and pace, opens its breaker while the API is down, and fetches each item once. 100 of the
items are duplicates, which it skips. 50 are unknown to the API and one always fails: they become dead letters.

TEXT

# The API wants this key; damper reads it from the file, and the component never sees it.
(umask 077 && echo demo-key >key)
"$demo_api" --port-file port --latency-median-ms 150 --latency-sigma 0.5 --latency-max-ms 1500 --error-rate 0.01 \
	--malformed-rate 0.005 --drip-share 0.01 --drip-over-ms 800 --seed 1 --require-key demo-key \
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
component = "$components/demo.wasm"
hosts = "manifest"
private = ["$origin"]

[providers.demo.config]
base_url = "$origin"
use_key = "true"

[providers.demo.credentials.key]
file = "key"
hosts = ["$origin"]
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

echo "You can change the API while it runs, for example:"
echo "  curl -X PUT $origin/control -d '{\"error_rate\": 0.5}'"
echo
"$damper" feed demo items.txt
"$damper" run demo --charts .

cat <<TEXT

The second part: three vendors implement one industry standard, a contract enquiry by SOAP. Each has another address,
credential and version. They are three providers of one component, which is compiled and loaded once:

TEXT

(
	umask 077
	echo damper:acme-secret >acme
	echo damper:northern-secret >northern
	echo caledonia-secret >caledonia
)
cat >vendors.toml <<TOML
[components.contract-enquiry]
file = "$components/contract-enquiry.wasm"
config.username = "damper"
config.firm = "4711"

[providers.acme-life]
component = "contract-enquiry"
private = ["$origin"]
config.endpoint = "$origin/enquiry/acme-life"
config.access = "login"
credentials.login.file = "acme"
credentials.login.hosts = ["$origin"]

[providers.northern]
component = "contract-enquiry"
private = ["$origin"]
config.endpoint = "$origin/enquiry/northern"
config.access = "token"
config.soap = "1.2"
config.standard = "2.0"
credentials.token.file = "northern"
credentials.token.token_url = "$origin/enquiry/northern/token"
credentials.token.hosts = ["$origin"]

[providers.caledonia]
component = "contract-enquiry"
private = ["$origin"]
config.endpoint = "$origin/enquiry/caledonia"
config.access = "key"
credentials.key.file = "caledonia"
credentials.key.hosts = ["$origin"]
TOML
cat vendors.toml
(echo && cat vendors.toml) >>damper.toml
echo

# 300 policies; caledonia does not know five of its own.
for vendor in acme-life northern caledonia; do
	awk -v vendor=$vendor -v day="$(date -u +%F)" 'BEGIN {
		for (i = 1; i <= 100; i++) {
			known = vendor != "caledonia" || i % 20 != 0
			id = sprintf("%s%s-%05d", known ? "" : "unknown-", vendor, i)
			printf "{\"id\": \"%s\", \"params\": {\"valuation_date\": \"%s\"}}\n", id, day
		}
	}' | "$damper" feed $vendor -
done
"$damper" run acme-life northern caledonia
echo
"$damper" status
echo
echo "A record of each; its line names the provider and the component:"
for vendor in acme-life northern caledonia; do
	"$damper" export $vendor >records.ndjson
	head -n 1 records.ndjson
done

echo
echo "A chart of the first part (open it in a browser): $folder/demo.svg"
echo "Next, in $folder, run for example:"
echo "  $damper status demo"
echo "  $damper dead-letters list demo"
echo "  $damper status northern"
echo "  $damper config show northern"
echo "  $damper export demo --format csv | head"
