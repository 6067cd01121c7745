SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# cargo shares out the cores itself, and warns of a jobserver that `make -j` announces but keeps shut.
unexport MAKEFLAGS MFLAGS

SECONDS ?= 60
NODES ?= 1
RUNS ?= 1

.PHONY: help demo test one chaos recovery fuzz lint tools languages clean-data need-cargo

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: need-cargo ## run the demonstration: a map over a nats-server of its own
	@tools/demo

# Most tests wait for something most of the time: more of them at once than there are cores.
# The cargo test run comes last and nothing is printed after it: its closing lines are what counts.
test: lint ## what CI runs behind the demonstration: lint, then every test against a real nats-server
	@server="$$(tools/nats-server)"; \
	export JETITER_NATS_SERVER="$$server"; \
	tools/faketime >/dev/null || test -z "$${CI:-}"; \
	tools/nats >/dev/null || test -z "$${CI:-}"; \
	for language in python node go; do \
	  tools/languages "$$language" >/dev/null || test -z "$${CI:-}"; \
	done; \
	export RUST_TEST_THREADS="$${RUST_TEST_THREADS:-6}"; \
	echo "cargo test with $$server"; \
	cargo test --workspace --locked --features crash-points

one: need-cargo ## run the tests whose name holds TEST=words
	@JETITER_NATS_SERVER="$$(tools/nats-server)" cargo test --locked --features crash-points --test e2e -- $(TEST)

chaos: need-cargo ## kill and freeze everything at random: SECONDS=60 NODES=1|3 RUNS=1 SEED=any JSON=file
	@server="$$(tools/nats-server)"; \
	export JETITER_NATS_SERVER="$$server"; \
	cargo test --locked --features crash-points --test chaos -- --seconds $(SECONDS) \
	  --nodes $(NODES) --runs $(RUNS) --seed $(or $(SEED),$$RANDOM$$RANDOM) $(if $(JSON),--json $(JSON))

recovery: need-cargo ## print how long the death of a worker, a collator and a server is felt
	@JETITER_NATS_SERVER="$$(tools/nats-server)" cargo test --locked --features crash-points --test e2e -- \
	  --ignored --nocapture --test-threads 1 recovery::

lint: need-cargo ## formatting, clippy and the documentation, every warning an error
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

# How long each target runs, and which ones.
FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?=

# The test run replays tests/corpus; this looks for more, and keeps what it finds in fuzz/corpus. The
# address sanitizer is a nightly's option, which RUSTC_BOOTSTRAP lets a stable compiler have too.
fuzz: need-cargo ## look for bytes that break a decoder, FUZZ_SECONDS (30) for each target
	@fuzz="$$(tools/cargo-fuzz)"; \
	export RUSTC_BOOTSTRAP=1; \
	targets="$(FUZZ_TARGETS)"; \
	for target in $${targets:-$$("$$fuzz" list)}; do \
	  mkdir -p "fuzz/corpus/$$target"; \
	  "$$fuzz" run "$$target" "fuzz/corpus/$$target" "tests/corpus/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256 \
	    -print_final_stats=1; \
	done

tools: ## get nats-server, the nats command line client and libfaketime into .tools, print where
	@tools/nats-server
	@tools/nats
	@tools/faketime

languages: ## get what the examples in Python, JavaScript and Go need into .tools, print where
	@tools/languages python
	@tools/languages node
	@tools/languages go

clean-data: ## remove what a local server has stored in .jetiter (stop that server first)
	rm -rf .jetiter

need-cargo:
	@command -v cargo >/dev/null || { \
	  echo "cargo is missing: jetiter needs Rust 1.90 or later." >&2; \
	  echo "Install it from https://rustup.rs, open a new shell (or: . ~/.cargo/env), try again." >&2; \
	  exit 1; }
