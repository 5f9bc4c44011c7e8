# Everything a developer does, by name. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup build test lint fmt demo stack bench bench-autoscale bench-autoscale-day bench-flow bench-million bench-rabbitmq release image deny clean

SHELL := /bin/bash
CARGO ?= cargo
# The live tests mostly wait for servers; with as many threads as processors they would take
# several times as long.
TEST_THREADS ?= 3
# The static binary of the image and of releases.
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: ## install what is missing for build and tests (Debian/Ubuntu; Python and Node clients)
	@scripts/setup.sh test

build: ## debug build
	@scripts/setup.sh build
	$(CARGO) build --locked

test: setup lint ## format, lints, all tests with real servers: what CI runs
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

lint: ## rustfmt and clippy, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

fmt: ## format the code
	$(CARGO) fmt

demo: ## private Redis + real Celery app + tailback, watched live; SECONDS=20 ends it by itself
	@scripts/setup.sh demo
	$(CARGO) build --locked
	@TAILBACK=$(CURDIR)/target/debug/tailback DEMO_SECONDS=$(SECONDS) .venv/bin/python demo/demo.py

stack: ## the demo with Prometheus, the shipped alerts and Alertmanager; HURRY=1 makes their minutes seconds
	@scripts/setup.sh stack
	$(CARGO) build --locked
	@TAILBACK=$(CURDIR)/target/debug/tailback .venv/bin/python demo/stack.py $(if $(HURRY),--hurry)

bench: ## 10,000 queues, beside prometheus-redis-exporter; prints a table
	@scripts/setup.sh bench
	$(CARGO) build --locked --profile bench
	@.venv/bin/python bench/bench.py --tailback target/release/tailback

bench-autoscale: ## a fan-out with real Celery workers, scaled by tailback and by others; half an hour
	@scripts/setup.sh demo
	$(CARGO) build --locked --profile bench --bin tailback --example autoscale
	@.venv/bin/python bench/autoscale/bench.py --tailback target/release/tailback \
		--decide target/release/examples/autoscale --picture docs/fan-out.svg

bench-autoscale-day: ## the same autoscalers over 3,000 simulated days; prints a table
	$(CARGO) run --locked --profile bench --example autoscale -- day

bench-flow: ## the flow model on simulated queues whose truth is known; prints a table
	$(CARGO) run --locked --profile bench --example flow_table

bench-million: ## what following one queue of a million jobs costs, of Celery and as a plain list; prints tables
	@scripts/setup.sh bench
	$(CARGO) build --locked --profile bench
	@.venv/bin/python bench/million.py --tailback target/release/tailback

bench-rabbitmq: ## a RabbitMQ with 10,000 queues, beside its own Prometheus plugin; prints a table
	@scripts/setup.sh bench
	$(CARGO) build --locked --profile bench
	@.venv/bin/python bench/rabbitmq.py --tailback target/release/tailback

release: ## static release binary in target/HOST/release, tried alone in an empty root
	@scripts/setup.sh build
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --release --target $(HOST)
	@[ "$$(id -u)" != 0 ] || scripts/check-image.sh target/$(HOST)/release/tailback

image: ## container image (needs docker)
	docker build -t tailback .

deny: ## licences, advisories and bans of the dependencies (needs cargo-deny)
	$(CARGO) deny check

clean: ## remove build results and the Python and Node clients
	rm -rf target .venv tests/clients/node/node_modules
