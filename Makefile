# The front door. No build logic here: tools/build drives Meson, tools/check runs the tests.
# `make help` lists the targets.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
# tools/check needs an interpreter, which a bare machine has only after the first step.
CHECK = { command -v python3 >/dev/null || tools/deps build check || { echo '0 passed, 1 failed'; exit 1; }; } && tools/check

all: ## the program, as build/stoq
	@tools/deps build
	@tools/build release
	@echo "   stoq      build/stoq"

demo: all ## the main job on real input: publish, fetch on two nodes, update, refuse a forgery
	@tools/demo

check: ## every test; ends in `N passed, N failed`
	@$(CHECK) debug

asan: ## the same tests under the address and undefined-behaviour sanitizers
	@$(CHECK) asan

tsan: ## the same tests under the thread sanitizer
	@$(CHECK) tsan

fuzz: ## fuzz every target for FUZZ_SECONDS (60), or only TARGET
	@tools/deps fuzz
	@tools/fuzz -s $(FUZZ_SECONDS) $(TARGET)

crash: ## 12,000 crash states of the store, each durability step left out in turn, 200 kills
	@tools/deps build check
	@tools/crash $(SEED)

sim: ## simulated swarms with SEED, or with two fixed seeds and a fresh one
	@tools/deps build check
	@tools/build debug
	@tools/sim $(SEED)

sim-dht: ## simulated DHTs of N nodes with SEED (1); WHAT=scenarios, growth, rows or calibration
	@tools/deps build check
	@tools/build release apps/stoq-sim-dht
	@STOQ_SIM_DHT=build/release/apps/stoq-sim-dht tools/sim-dht $(or $(WHAT),scenarios) "$(N)" $(or $(SEED),1)

sim-swarm: ## one seed and N fetchers (1000) of 64 MiB on capped lines, simulated
	@tools/deps build check
	@tools/build debug apps/stoq-sim
	@tools/sim --swarm $(or $(N),1000) $(SEED)

abuse: ## every attack on a daemon that serves a good peer, some four minutes
	@tools/deps build check
	@tools/build release
	@tools/build debug
	@tests/abuse/campaign $(ABUSE)

builds: ## the ids of one tree by gcc and clang, -O0 to -O3 -march=native
	@tools/deps build check fuzz
	@tools/build debug
	@tools/other-builds

bench: all ## measure against references in the same run
	@tools/bench

tidy: ## text rules, layers, clang-format, clang-tidy
	@tools/deps tidy
	@tools/build debug
	@tools/tidy

fmt: ## format the source in place
	@tools/deps tidy
	@tools/tidy --fmt

deps: ## everything the project builds on: Debian packages, and libraries into build/deps
	@tools/deps

install: all ## into DESTDIR and PREFIX (/usr/local)
	@tools/build release --install "$(DESTDIR)" "$(PREFIX)"

clean: ## remove what was built, but not build/deps
	@tools/build --clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/   make \1: \2/p' Makefile

.PHONY: all demo check asan tsan fuzz crash sim sim-dht sim-swarm abuse builds bench tidy fmt deps install clean help
