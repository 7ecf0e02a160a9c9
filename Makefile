# What people and machines run. Everything else is cargo and `cargo xtask --help`.

.PHONY: all deps build demo test test-go test-kernels test-all test-lab test-metrics score lint fuzz bench bench-smoke clean
all: build

# What is missing of compilers, libraries and QEMU; silent if nothing is.
deps:
	@scripts/install-deps.sh

build: deps
	cargo build --release -p lastref

# Shows a leak and what lastref says about it. Needs root.
demo: build
	@scripts/demo.sh

# Within 15 minutes on two cores: all tests here, and a third of the tests from outside on one
# kernel in QEMU.
test: deps
	@scripts/test.sh

# The same tests from outside on Debian's 5.10, 6.1 and 6.12, after a proof that the harness tells
# failures. A kernel that has just been tested with the very same files is not booted again.
test-kernels: deps
	cargo xtask self-test --kernel 6.12
	cargo xtask test-kernels --reuse

test-all: test test-go lint test-kernels test-lab test-metrics fuzz bench-smoke

# What reads Go, with programs of every release that it reads. Fetches their toolchains.
test-go: deps
	cargo test -p lastref-gobinary -p lastref-goheap -p lastref-record -- --ignored

# The truth of every scenario of the lab with every version of its library (make test takes twelve), and
# what explain says of Go programs of every release, library and kind of build. Fetches toolchains.
test-lab: build
	LASTREF_LAB_TRUTH=all cargo test -p lastref-lab --test truth
	LASTREF_LAB_RELEASES=all cargo test -p lastref-lab --test explain_releases

# What is in deploy/: promtool, and a real Prometheus that scrapes a watch. Needs root.
test-metrics: build
	@scripts/test-metrics.sh

# What lastref says of every scenario, against what is true of it. Needs root.
score: build
	@bench/score.sh

lint: deps
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask lint

# A short run of every fuzz target.
fuzz: deps
	@scripts/fuzz.sh

# The figures of the documentation, measured here.
bench: build
	@bench/run.sh

# Does the benchmark run at all? Its figures mean nothing.
bench-smoke: build
	@bench/run.sh --smoke

clean:
	cargo clean
	rm -rf .cache
