# `make` lists the targets. Everything is built with one profile, --release, and
# always for the whole workspace: another profile would compile RocksDB a second
# time, and another selection of packages their common dependencies.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Outside the tree, so that a fresh clone finds what was built before.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/warren/target
WARREN := $(CARGO_TARGET_DIR)/release/warren
CARGO := cargo
BUILD := --release --locked

DATA ?= data/cluster
NODES ?= 3
SEEDS ?= 2000
MESSAGES ?= 20000
TIME ?= 20s
BOUND ?= large
DRILLS ?= all
QUEUES ?= 2000

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: cluster
cluster: build ## Run three nodes on this machine until Ctrl-C; data in data/cluster (DATA=, NODES=)
	@exec "$(WARREN)" cluster up --data "$(DATA)" --nodes $(NODES) --policy deploy/policy.toml

.PHONY: build
build: prerequisites ## Build the program
	$(CARGO) build $(BUILD) --workspace --bins

.PHONY: prerequisites
prerequisites: ## Install the Debian packages that the build needs, where they are missing
	@deploy/prerequisites.sh build

.PHONY: test
test: format lint rust docs fuzz pika conformance-recorded clients drill ## Everything that checks the product
	@echo "test result: ok. everything that make test runs has passed"

.PHONY: format
format: ## Check the formatting of the code
	$(CARGO) fmt --all --check

.PHONY: lint
lint: prerequisites ## Check the code with clippy; warnings are errors
	$(CARGO) clippy $(BUILD) --workspace --all-targets -- --deny warnings

.PHONY: rust
rust: build ## Run the Rust tests: of crates, of simulated clusters, of clusters of processes
	$(CARGO) test $(BUILD) --workspace
	$(CARGO) test $(BUILD) --workspace --test sim --features warren-tests/mutations -- proof::

.PHONY: fuzz
fuzz: ## Fuzz what reads clients' octets, each target for so long (TIME=20s)
	@fuzz/run.sh "$(TIME)"

.PHONY: simulate
simulate: prerequisites ## Run simulated clusters with faults (SEEDS=2000, or MINUTES=10)
	WARREN_SEEDS=$(SEEDS) $(if $(MINUTES),WARREN_MINUTES=$(MINUTES)) $(CARGO) test $(BUILD) --workspace --test sim -- the_promises --nocapture

.PHONY: model
model: prerequisites ## Check every interleaving within larger bounds (BOUND="messages=2,elections=1")
	WARREN_MODEL="$(BOUND)" $(CARGO) test $(BUILD) --workspace --lib -- model::promises --nocapture

.PHONY: proof
proof: prerequisites ## Break every rule in turn and write what notices it to docs/PROOF.md
	WARREN_PROOF="$(CURDIR)/docs/PROOF.md" $(CARGO) test $(BUILD) --workspace --lib -- proof:: --nocapture
	WARREN_PROOF="$(CURDIR)/docs/PROOF.md" $(CARGO) test $(BUILD) --workspace --test sim --features warren-tests/mutations -- proof:: --nocapture

.PHONY: system
system: build ## Run the tests of clusters of processes only
	$(CARGO) test $(BUILD) --workspace --test cluster

.PHONY: docs
docs: prerequisites ## Build the documentation of the code; warnings are errors
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private-intra-doc-links" $(CARGO) doc $(BUILD) --workspace --no-deps --document-private-items

.PHONY: pika
pika: build ## Test with Python's pika: conformance and failover (MESSAGES=20000)
	@deploy/prerequisites.sh python
	tests/pika/run.sh "$(WARREN)" $(MESSAGES)

.PHONY: conformance-recorded
conformance-recorded: build ## Compare what Warren does with the recording of RabbitMQ, case by case
	@deploy/prerequisites.sh python
	tests/conformance/run.sh "$(WARREN)"

.PHONY: conformance
conformance: build ## The same, with RabbitMQ itself; renews the recording (installs rabbitmq-server)
	@deploy/prerequisites.sh python
	tests/conformance/run.sh "$(WARREN)" --live

.PHONY: clients
clients: build ## Test with clients of others: Python, Rust, Node, Go, Java, PHP, Ruby, Celery, amqp-tools
	@deploy/prerequisites.sh clients
	tests/clients/run.sh "$(WARREN)"

.PHONY: drill
drill: build ## A few faults under load, on three nodes each, with every message accounted for
	tests/drill.sh "$(WARREN)"

.PHONY: drills
drills: build ## All drills that this machine allows, and a page of plots (DRILLS=all)
	@deploy/prerequisites.sh drills
	"$(WARREN)" drill $(DRILLS) --html drills.html

.PHONY: many-queues
many-queues: build ## Kill the node that leads very many queues, and time each (QUEUES=2000)
	@deploy/prerequisites.sh python
	WARREN="$(WARREN)" "$$(tests/pika/python.sh)" tests/pika/many_queues.py --queues $(QUEUES)

.PHONY: bench
bench: build ## Measure throughput and latency of a cluster on this machine
	tests/bench.sh "$(WARREN)"

.PHONY: drills-versus
drills-versus: build ## Kill and freeze leaders of Warren and RabbitMQ side by side (installs rabbitmq-server)
	@deploy/prerequisites.sh python
	tests/versus/failover.sh "$(WARREN)"

.PHONY: versus
versus: build ## Measure Warren and RabbitMQ side by side (installs rabbitmq-server)
	tests/versus/run.sh "$(WARREN)"

