# `make demo` and `make test` do all set-up themselves; a second run of either does none of it again.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench eval faults soak clean-cache

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/' | expand -t 22

setup: ## system packages, ONNX Runtime, models and demo media; nothing if they are in place
	@scripts/setup.sh

demo: setup ## test cameras, faces, the daemon and PostgreSQL, end to end
	$(CARGO) run --release --locked -- demo

test: setup ## the whole test suite, and the API against its own description
	$(CARGO) test --workspace --locked --no-fail-fast
	.venv/bin/python tests/schemathesis/run.py "$${CARGO_TARGET_DIR:-target}/debug/rollcall"

lint: setup ## formatting, clippy and rustdoc, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

bench: setup ## parts, the limit, peers, live cameras, the API; two hours, kept in benches/results
	@CARGO='$(CARGO)' benches/run.sh

eval: setup ## recognition, a door and liveness on the data in ROLLCALL_EVAL_DATA, kept in target/eval/latest.md
	@$(CARGO) run --release --locked -- eval all --data "$${ROLLCALL_EVAL_DATA:-../shared/data}" --out target/eval/latest.md

faults: setup ## everything that breaks, broken on purpose; the rows against what was shown; in target/faults/latest.md
	$(CARGO) build --locked -p rollcall -p rollcall-faults
	"$${CARGO_TARGET_DIR:-target}/debug/faults" $(FAULTS)

soak: setup ## cameras that come and go for half an hour (ROLLCALL_SOAK_MINUTES); memory, threads, files; target/faults/soak.md
	$(CARGO) build --locked -p rollcall -p rollcall-faults
	"$${CARGO_TARGET_DIR:-target}/debug/faults" --soak "$${ROLLCALL_SOAK_MINUTES:-30}"

clean-cache: ## remove what set-up downloaded and converted (not the system packages)
	rm -rf models/cache
