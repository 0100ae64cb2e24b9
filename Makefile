# Damper's commands. `make demo` and `make test` do all the set-up they need on a fresh machine with Rust.

CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
DAMPER := $(TARGET)/debug/damper

# Providers and test components, compiled with the wasm32-wasip2 toolchain that `damper build` makes sure of.
GUESTS     := providers/demo providers/gleif providers/sec-edgar providers/companies-house providers/openfigi \
	providers/fca-register providers/contract-enquiry tests/fixtures/providers/hostile tests/fixtures/providers/mutants \
	tests/fixtures/providers/valuation
COMPONENTS := $(TARGET)/components

.PHONY: help demo test chaos ci fuzz swarm swarm-mutants bench bench-aws bench-control bench-hostile bench-orders fmt clippy doc docs book deny sbom components \
	guests languages cases damper bootstrap package check-templates test-dynamodb-local test-registry fixture bindings release-contract clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

# The command without AWS and packaging, which are most of the build, and without optimisation.
QUICK := $(TARGET)/quick
demo: ## Fetch 2,000 records from a demo API that throttles, fails and goes dark, then from three vendors of a standard.
	@$(CARGO) build --profile quick -p damper-cli -p damper-demo-api --no-default-features --bin damper --bin demo-api
	@$(QUICK)/damper build providers/demo -o $(COMPONENTS)/demo.wasm
	@$(QUICK)/damper build providers/contract-enquiry -o $(COMPONENTS)/contract-enquiry.wasm
	@DAMPER=$(QUICK)/damper DEMO_API=$(QUICK)/demo-api COMPONENTS=$(COMPONENTS) sh providers/demo/demo.sh

# One build for everything that is tested: `damper` and the demo API come out of it too, with the same dependencies.
test: ## Run all tests: units, contract suites, hostile components, other languages, end to end.
	$(CARGO) test --workspace --all-features --no-run
	@$(MAKE) --no-print-directory guests
	@$(MAKE) --no-print-directory languages
	@$(MAKE) --no-print-directory cases
	@$(MAKE) --no-print-directory bootstrap
	$(CARGO) test --workspace --all-features

# The campaigns that take too long for `make test`, one after the other; `make test` first, which builds what they need. A line of a
# table for each: what was done to it, how often, how it ended.
chaos: ## Campaigns: 1,000 kills, 100 freezes in a put, 100 lost answers of each kind of write (ONLY=freezes).
	$(CARGO) build --workspace --all-features --bin damper --example shim
	@$(MAKE) --no-print-directory guests
	@$(MAKE) --no-print-directory bootstrap
	$(CARGO) test --workspace --all-features --test e2e --test it -- --ignored --nocapture --test-threads 1 $(or $(ONLY),chaos_)

ci: fmt clippy doc deny test ## Run all checks that must pass before a change is merged.

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --document-private-items

docs: book doc ## Build the book of docs/ with a link check, and the API of the crates and of each SDK beside it, into target/book.
	@rm -rf $(TARGET)/book/api && cp -R $(TARGET)/doc $(TARGET)/book/api
	@echo "API of the crates: $(abspath $(TARGET))/book/api/damper_core/index.html"
	@echo "API of the Rust SDK: $(abspath $(TARGET))/book/api/damper_sdk/index.html"
	@sh tests/docs/sdks.sh $(TARGET)

book: ## Build the book of docs/ and check every relative link and anchor; mdBook and lychee are installed once.
	@sh tests/docs/book.sh $(TARGET)

deny: ## Check all dependencies: advisories, licences, banned crates, sources (ADVISORIES=snapshot without the network).
	@sh tests/supply-chain/check.sh $(TARGET)
	@sh tests/supply-chain/test.sh $(TARGET)

sbom: ## List the dependencies of `damper` and `bootstrap` as CycloneDX documents, in target/sbom.
	@sh tests/supply-chain/sbom.sh $(TARGET)

bench: ## Measure Damper beside a bare request loop, and print tables.
	$(CARGO) build --release -p damper-demo-api -p damper-bench -p damper-cli
	$(CARGO) build --release -p damper-plugins --features compile --example languages
	@$(MAKE) --no-print-directory guests languages DAMPER=$(TARGET)/release/damper
	@ulimit -n 8192 2>/dev/null; $(TARGET)/release/damper-bench --components $(COMPONENTS) --demo-api $(TARGET)/release/demo-api
	@$(TARGET)/release/examples/languages $(COMPONENTS)/gleif*.wasm
	@$(MAKE) --no-print-directory bench-aws

# The zip as it is deployed, and the functions beside it, optimised alike; the bench itself need not be.
AWS_ARCH  := $(subst aarch64,arm64,$(shell uname -m))
BENCH_AWS := $(TARGET)/bench-aws

bench-aws: ## Measure the function: cold start, memory, zip, cost of a million records (PART=cold-start).
	$(CARGO) build --workspace --all-features --bin damper --bin damper-bench-aws
	@$(MAKE) --no-print-directory guests
	@rm -rf $(BENCH_AWS)
	$(DAMPER) package --config providers/damper.toml --arch $(AWS_ARCH) -o $(BENCH_AWS)
	$(CARGO) build --release -p damper-bench-functions
	$(TARGET)/debug/damper-bench-aws --zip $(abspath $(BENCH_AWS))/damper-$(AWS_ARCH).zip --functions $(abspath $(TARGET))/release $(PART)

bench-control: ## Measure rate control: every figure of docs/CONTROL.md, beside other algorithms (SEEDS=10 ONLY=pipeline).
	$(CARGO) run --release --quiet -p damper-sim --example bench-control -- $(or $(SEEDS),10) $(ONLY)

fuzz: ## Fuzz the parsers of outside input, T seconds per target (T=60 ONLY="kpl settings").
	@sh tests/fuzz/fuzz.sh $(or $(T),60) $(ONLY)

bench-hostile: ## Run each member of the hostile corpus beside a well-behaved provider, and print its effect (ONLY=http2).
	$(CARGO) build --release -p damper-cli -p damper-hostile-corpus
	@$(MAKE) --no-print-directory guests DAMPER=$(TARGET)/release/damper
	@$(TARGET)/release/hostile-bench --damper $(TARGET)/release/damper --components $(COMPONENTS) $(if $(ONLY),--only "$(ONLY)")

bench-orders: ## Measure orders and polls at an API of valuations, without and with random faults (SEEDS=1,2,3).
	$(CARGO) build --profile quick -p damper-cli -p damper-valuation-api --no-default-features --bin damper --bin orders-bench
	@$(QUICK)/damper build tests/fixtures/providers/valuation -o $(COMPONENTS)/valuation.wasm
	@$(QUICK)/orders-bench --damper $(QUICK)/damper --component $(COMPONENTS)/valuation.wasm --seeds $(or $(SEEDS),1)

swarm: ## Run whole clusters under random faults in virtual time, and check every invariant (SEEDS=10000 FROM=1 SEED=4711).
	$(CARGO) run --release --quiet -p damper-sim --bin damper-sim -- swarm \
		$(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000) --from $(or $(FROM),1))

swarm-mutants: ## Revert one bug fix after another, and check that the swarm finds each bug (SEEDS=10000 ONLY=04).
	@sh host/sim/swarm-mutations/check.sh $(or $(SEEDS),10000) $(ONLY)

# Of the whole workspace, so that its dependencies have the features that they have in `make test`, and are compiled once for both.
damper:
	@$(CARGO) build --workspace --all-features --bin damper

# By itself and kept apart: in a build of the whole workspace cargo gives it what others ask for, a compiler among it.
bootstrap:
	$(CARGO) build -p damper-lambda
	@mkdir -p $(TARGET)/bootstrap
	@cp $(TARGET)/debug/bootstrap $(TARGET)/bootstrap/bootstrap.new && mv $(TARGET)/bootstrap/bootstrap.new $(TARGET)/bootstrap/bootstrap

# The operator's settings; this repository's example where there are none.
CONFIG ?= $(if $(wildcard damper.toml),damper.toml,providers/damper.toml)

package: damper ## Package providers for AWS into dist (CONFIG=damper.toml PROVIDERS="gleif ..." ARGS="--arch arm64").
	@$(DAMPER) package --config $(CONFIG) $(PROVIDERS) $(ARGS)

check-templates: ## Check the templates of `make package` with cfn-lint, and with checkov, cfn-guard and terraform if installed (DIST=dist).
	@sh tests/templates/check.sh $(or $(DIST),dist) $(TARGET)

test-dynamodb-local: ## Test the ledger against AWS's DynamoDB Local (DYNAMODB_LOCAL=DIR, or DYNAMODB_LOCAL_URL=http://127.0.0.1:8000).
	@test -n "$(DYNAMODB_LOCAL)$(DYNAMODB_LOCAL_URL)" || { \
		echo "error: no DynamoDB Local is named, and make does not download it, because of its licence" >&2; \
		echo "  hint: get it from https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.html (Java 17)," >&2; \
		echo "        unpack it into a folder and run: make test-dynamodb-local DYNAMODB_LOCAL=FOLDER" >&2; \
		echo "        or, if one is running: make test-dynamodb-local DYNAMODB_LOCAL_URL=http://127.0.0.1:8000" >&2; exit 2; }
	DYNAMODB_LOCAL="$(if $(DYNAMODB_LOCAL),$(abspath $(DYNAMODB_LOCAL)))" DYNAMODB_LOCAL_URL="$(DYNAMODB_LOCAL_URL)" \
		$(CARGO) test --workspace --all-features --test it -- --ignored dynamodb_local

test-registry: ## Test push and pull against CNCF's registry, which Go builds once, and with wkg and cosign if installed.
	$(CARGO) test --workspace --all-features --test it -- --ignored --nocapture cncf_distribution

components: damper guests languages ## Compile the providers and the test components.

# Compiles the guests with whichever `damper` was built last.
guests:
	@for guest in $(GUESTS); do \
		$(DAMPER) build $$guest -o $(COMPONENTS)/$$(basename $$guest).wasm || exit 1; \
	done

# The SDKs and providers in JavaScript and Python, if node and python are installed; it prints the parts that it skips, and why.
languages:
	@DAMPER=$(abspath $(DAMPER)) COMPONENTS=$(abspath $(COMPONENTS)) sh tests/languages/run.sh

# Every provider's cases, and everything that an API may do to it.
cases:
	@for folder in providers/*/cases; do \
		provider=$$(basename $$(dirname $$folder)); \
		test -f $(COMPONENTS)/$$provider.wasm || { echo "not tested: $$provider is not built"; continue; }; \
		$(DAMPER) test $(COMPONENTS)/$$provider.wasm --cases $$folder || exit 1; \
		$(DAMPER) test $(COMPONENTS)/$$provider.wasm --cases $$folder --conformance || exit 1; \
	done

# What the SDK of this version builds, kept so that it goes on running; see tests/fixtures/components/README.md.
SDK_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' sdk/rust/Cargo.toml | head -n 1)

fixture: damper ## Build the test component of this SDK version.
	@$(DAMPER) build providers/demo -o tests/fixtures/components/sdk-$(SDK_VERSION)-rust.wasm

bindings: ## Generate the Rust SDK's bindings from wit/provider.wit; a test fails where they are not the contract's.
	$(CARGO) run --quiet -p damper-bindings

CONTRACT := $(shell sed -n 's/^package damper:provider@\(.*\);/\1/p' wit/provider.wit)

release-contract: ## Store a permanent copy of the released contract; see wit/released/README.md.
	@test ! -e wit/released/$(CONTRACT) || { echo "error: $(CONTRACT) is already released and must not change; raise the version in wit/provider.wit" >&2; exit 1; }
	@mkdir -p wit/released/$(CONTRACT) && cp wit/provider.wit wit/released/$(CONTRACT)/provider.wit

clean: ## Remove all build output. The wasm32-wasip2 toolchain stays in its cache.
	$(CARGO) clean
