# The only command surface; .ci/run calls the same targets. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(CURDIR)/target
# A clippy.toml in a crate would replace the root's; this pins the one that counts.
export CLIPPY_CONF_DIR := $(CURDIR)
export PYTHONHASHSEED := 0

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
DEMO_VENV := $(CARGO_TARGET_DIR)/demo-venv
STAGE := .ci/stage
SYSTEM_PACKAGES := iputils-ping nginx-light dnsmasq-base bind9-dnsutils curl tcpdump jq iproute2 nftables unbound iperf3 tshark valgrind python3-venv build-essential conntrack dbus-daemon musl-tools wireguard-go wireguard-tools git openssh-client openssl rsync ethtool chromium
# Programs of these are started by tests; installing them would change the host or start services on it.
PEER_PACKAGES := systemd-resolved libsystemd-shared polkitd libpolkit-agent-1-0 libpolkit-gobject-1-0 libduktape207 openssh-server libwrap0 postgresql-15 postgresql-client-15 libpq5
# What benchmarks need beside all that; no test does.
BENCH_PACKAGES := dnsperf linux-perf strace
DEMO_PACKAGES := nftables nginx-light dnsmasq-base curl tcpdump iproute2 python3-venv build-essential

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: demo-setup ## Run the main job: real files through a DNS resource while it is re-created again and again
	$(DEMO_VENV)/bin/firezone demo $(ARGS)

.PHONY: test
test: setup ## Build, lint and run every test
	@.ci/beside $(CARGO_TARGET_DIR)/computed.log "$(MAKE) --no-print-directory computed" -- $(STAGE) system-tests $(BIN)/pytest tests/system -q
	@$(STAGE) budgets $(MAKE) --no-print-directory budgets
	@$(STAGE) rules $(MAKE) --no-print-directory rules
	@$(STAGE) --summary

# What needs the processors more than it waits.
.PHONY: computed
computed:
	@$(STAGE) lint $(MAKE) --no-print-directory lint
	@$(STAGE) pytest $(BIN)/pytest tests/unit tests/boundary tests/portal -q
	@$(STAGE) cargo-test cargo test --workspace --profile ci --locked --quiet

.PHONY: setup
setup: ## Install system packages, the virtual environment and the wheel under test
	@$(STAGE) --reset
	@$(STAGE) system-packages .ci/packages $(SYSTEM_PACKAGES)
	@$(STAGE) peer-packages .ci/unpack $(CARGO_TARGET_DIR)/peers $(PEER_PACKAGES)
	@$(STAGE) environment $(MAKE) --no-print-directory $(VENV)/.stamp
	@$(STAGE) build $(MAKE) --no-print-directory build

$(VENV)/.stamp: pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python .ci/runtime_requirements.py | xargs -d '\n' $(BIN)/python -m pip install --quiet
	touch $@

.PHONY: build
build: ## Build the wheel with the ci profile and install it into .venv
	rm -rf $(CARGO_TARGET_DIR)/wheels/ci
	$(BIN)/maturin build --profile ci --out $(CARGO_TARGET_DIR)/wheels/ci --quiet
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(CARGO_TARGET_DIR)/wheels/ci/*.whl

.PHONY: wheel
wheel: $(VENV)/.stamp ## Build the release wheel (link-time optimisation) into dist/
	$(BIN)/maturin build --release --out dist

.PHONY: demo-setup
demo-setup:
	@.ci/packages $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory $(DEMO_VENV)/.stamp

# The demo runs from a release wheel in an environment of its own, with nothing but what users get.
$(DEMO_VENV)/.stamp: pyproject.toml Cargo.lock $(shell find rust python -name '*.rs' -o -name '*.py' -o -name Cargo.toml)
	@echo "building the release wheel (once; about five minutes on two cores)"
	python3 -m venv --clear $(DEMO_VENV)
	rm -rf $(CARGO_TARGET_DIR)/wheels/release
	$(DEMO_VENV)/bin/python -m pip install --quiet 'maturin>=1.16,<2'
	$(DEMO_VENV)/bin/maturin build --release --quiet --out $(CARGO_TARGET_DIR)/wheels/release
	wheel=$$(ls $(CARGO_TARGET_DIR)/wheels/release/*.whl) && $(DEMO_VENV)/bin/python -m pip install --quiet "$$wheel[plot]"
	touch $@

.PHONY: lint
lint: ## Check formatting, clippy, ruff, mypy, stubs, import direction, file sizes
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile ci --locked --quiet -- -D warnings
	$(BIN)/ruff format --check --quiet python tests benches .ci
	$(BIN)/ruff check --quiet python tests benches .ci
	$(BIN)/mypy
	cd $(CARGO_TARGET_DIR) && $(BIN)/python -m mypy.stubtest firezone._core
	$(BIN)/lint-imports .importlinter
	$(BIN)/python .ci/file_sizes.py

.PHONY: fmt
fmt: ## Format Rust and Python
	cargo fmt --all
	$(BIN)/ruff format python tests benches .ci
	$(BIN)/ruff check --fix-only --quiet python tests benches .ci

.PHONY: promise
promise: setup ## Hold the promise over its full matrix, in virtual and real time; writes docs/results/promise.md
	$(BIN)/python -m tests.promise.run --firezone $(BIN)/firezone $(ARGS)

.PHONY: restarts
restarts: setup ## Kill Clients and Gateways in mid-transfer; writes docs/results/restarts.md
	$(BIN)/python -m tests.restarts.run $(ARGS)

.PHONY: transfers
transfers: setup ## Carry 1 GiB through the tunnel in each of 16 ways; writes docs/results/transfers.md
	$(BIN)/python -m tests.transfers.run $(ARGS)

TOOLS := $(CARGO_TARGET_DIR)/tools
# By the Go module proxy: Debian's is older than its offloads.
INSTALL_WIREGUARD_GO = if command -v go >/dev/null; then GOBIN=$(TOOLS)/bin go install golang.zx2c4.com/wireguard@latest; fi

.PHONY: interop
interop: setup ## Put plain WireGuard programs in the place of ours, with 1 GiB and rekeys; writes docs/results/interop.md
	cargo install --locked --quiet --root $(TOOLS) boringtun-cli
	$(INSTALL_WIREGUARD_GO)
	$(BIN)/python -m tests.interop.run --programs $(CARGO_TARGET_DIR)/tools/bin $(ARGS)

.PHONY: silences
silences: setup ## Wait through silences, stops and clock jumps in real time; writes docs/results/silences.md
	$(BIN)/python -m tests.silences.run $(ARGS)

.PHONY: floods
floods: setup ## Flood a Gateway with handshakes, and count what others notice; writes docs/results/floods.md
	$(BIN)/python -m tests.floods.run $(ARGS)

.PHONY: faults
faults: ## Plant one fault after the other and see a test fail; writes docs/results/faults.md
	python3 -m tests.faults.run $(ARGS)

# LLVM's tools read what a compiler of their own version writes.
.PHONY: coverage
coverage: ## Count which lines of the core the tests run (10 minutes); writes docs/results/coverage.md
	@.ci/packages llvm-$$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
	cargo install --locked --quiet --root $(TOOLS) cargo-llvm-cov
	PATH=$(TOOLS)/bin:$$PATH python3 -m tests.coverage.run $(ARGS)

# Paths of benchmark programs come from cargo: their names carry a hash.
BENCH_BINARY = $$(cargo bench --locked -p $(1) --bench $(2) --no-run --message-format json | jq -rs 'map(select(.executable != null and .target.name == "$(2)"))[-1].executable')

BENCH := $(CARGO_TARGET_DIR)/bench
INSTALL_GUNGRAUN = cargo install --locked --quiet --root $(TOOLS) gungraun-runner --version $$(cargo metadata --locked --format-version 1 | jq -r '.packages[] | select(.name == "gungraun") | .version')

.PHONY: bench
bench: setup demo-setup ## Compare the core with references and peers (15 minutes); writes docs/results/bench.md
	@.ci/packages $(BENCH_PACKAGES)
	$(INSTALL_GUNGRAUN)
	mkdir -p $(BENCH)
	binary=$(call BENCH_BINARY,bench-core,ratios) && $$binary --bench > $(BENCH)/ratios.jsonl
	binary=$(call BENCH_BINARY,bench-core,memory) && $$binary --bench > $(BENCH)/memory.jsonl
	cargo bench --locked -p bench-core --bench times > $(BENCH)/times.txt
	PATH=$(TOOLS)/bin:$$PATH cargo bench --locked -p bench-core --bench instructions > $(BENCH)/instructions.txt
	binary=$(call BENCH_BINARY,simulation,path) && $(BIN)/python -m benches.micro.instructions $$binary
	rm -rf $(BENCH)/wheel && $(BIN)/python -m pip install --quiet --no-deps --target $(BENCH)/wheel $(CARGO_TARGET_DIR)/wheels/release/*.whl
	beside=$(call BENCH_BINARY,bench-core,beside) && BESIDE=$$beside PYTHONPATH=$(BENCH)/wheel $(BIN)/pytest benches/python -q -p no:cacheprovider --benchmark-disable-gc --benchmark-columns=min,median,iqr --benchmark-json=$(BENCH)/python.json
	$(DEMO_VENV)/bin/python -m benches.micro.dns $(BENCH)/dns.jsonl
	$(BIN)/python -m benches.micro.page $(BENCH)

.PHONY: bench-compare
bench-compare: $(VENV)/.stamp ## Show what a change did to the core's times: BASE=commit (ARGS=flows: that part alone)
	rm -rf $(BENCH)/base && git worktree prune && git worktree add --force --detach $(BENCH)/base $(BASE)
	binary=$(call BENCH_BINARY,bench-core,ratios) && base=$$(cd $(BENCH)/base && echo $(call BENCH_BINARY,bench-core,ratios)) && $(BIN)/python -m benches.micro.compare $$base $$binary $(ARGS)
	git worktree remove --force $(BENCH)/base

# From the release wheel, as users have it.
.PHONY: bench-macro
bench-macro: demo-setup ## Measure the tunnel beside boringtun, gotatun and wireguard-go (45 minutes; ARGS=--quick: 8); writes docs/results/macro.md
	@.ci/packages $(SYSTEM_PACKAGES) $(BENCH_PACKAGES)
	cargo install --locked --quiet --root $(TOOLS) boringtun-cli gotatun-cli
	$(INSTALL_WIREGUARD_GO)
	cargo build --release --locked --quiet -p runtime --example tun_copy
	$(DEMO_VENV)/bin/python -m benches.macro.run --tools $(TOOLS)/bin --tun-copy $(CARGO_TARGET_DIR)/release/examples/tun_copy $(ARGS)

.PHONY: aead-differential
aead-differential: setup ## Compare 10^7 batches with ring bit by bit, and its time with ring's; writes docs/results/aead.md
	mkdir -p $(CARGO_TARGET_DIR)/bench
	cargo test --release --locked --quiet -p firezone-aead --test batches -- --ignored --nocapture | grep ' batches, ' > $(CARGO_TARGET_DIR)/bench/aead-differential.txt
	binary=$(call BENCH_BINARY,firezone-aead,batches) && $$binary --bench > $(CARGO_TARGET_DIR)/bench/aead.jsonl
	$(BIN)/python benches/aead.py $(CARGO_TARGET_DIR)/bench/aead.jsonl $(CARGO_TARGET_DIR)/bench/aead-differential.txt

.PHONY: fuzz-aead
fuzz-aead: ## Fuzz the batches of rust/aead for FUZZ_SECONDS (300), with the nightly toolchain (installs cargo-fuzz)
	cargo install --locked --quiet --root $(CARGO_TARGET_DIR)/tools cargo-fuzz
	cd rust/fuzz && PATH=$(CARGO_TARGET_DIR)/tools/bin:$$PATH cargo +nightly fuzz run --fuzz-dir . --target-dir $(CARGO_TARGET_DIR)/fuzz aead -- -max_total_time=$${FUZZ_SECONDS:-300} -max_len=65536

# Recorded as users run it: from the release wheel, by its processes' ids.
.PHONY: profile
profile: demo-setup ## Load the tunnel and profile it; writes flame graphs and samples into target/profile
	@.ci/packages $(SYSTEM_PACKAGES) $(BENCH_PACKAGES)
	cargo install --locked --quiet --root $(TOOLS) inferno
	$(DEMO_VENV)/bin/python -m benches.profile.run --tools $(TOOLS)/bin $(ARGS)

# As the tests are built, so that it takes a minute and not five.
BUDGET_BINARY = $$(cargo bench --locked --profile ci -p simulation --bench path --no-run --message-format json | jq -rs 'map(select(.executable != null and .target.name == "path"))[-1].executable')

.PHONY: instructions
instructions: setup ## Record instructions per packet, and the budgets that make test holds, in benches/instructions.toml
	binary=$(call BENCH_BINARY,simulation,path) && $(BIN)/python -m benches.micro.instructions $$binary --record
	binary=$(BUDGET_BINARY) && $(BIN)/python -m benches.micro.instructions $$binary --section budget --record

.PHONY: budgets
budgets: ## Fail if a station takes more instructions per packet than its budget
	binary=$(BUDGET_BINARY) && $(BIN)/python -m benches.micro.instructions $$binary --section budget --check

.PHONY: audit
audit: ## Check licences, bans and sources of dependencies, and that each is used (installs the tools)
	cargo install --locked --quiet --root $(CARGO_TARGET_DIR)/tools cargo-deny cargo-machete
	$(CARGO_TARGET_DIR)/tools/bin/cargo-deny --locked check licenses bans sources
	$(CARGO_TARGET_DIR)/tools/bin/cargo-machete rust

.PHONY: rules
rules: ## Print rule -> tests; fails on a rule of the current scope without a test
	$(BIN)/python .ci/rules.py

.PHONY: docs
docs: ## Build the Rust documentation; a broken link fails
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf target dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
