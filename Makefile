# make        build the program and the web UI
# make run    install what is missing, build, start the platform with a simulated plant
# make test   install what is missing, build with sanitizers, run every test
# make bench  the benchmarks of bench/run.py, one JSON line per case
# make chaos  the fault matrix with ROUNDS (20) random rounds a fault, and KILLS (200) where a process is killed
# make fuzz   each fuzz target for MINUTES (1)
.PHONY: all run test bench chaos fuzz format clean

KILLS ?= 200
ROUNDS ?= 20
MINUTES ?= 1
PORT ?= 8080
DATA ?= data

all:
	@tools/deps build
	@mkdir -p build; cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; rm -f build/configure.log; exit 1; }
	@rm -f build/configure.log
	@cmake --build build/release --target nexus -- --quiet
	@tools/web-build build

run: all
	@exec build/release/nexus up --demo --data $(DATA) --port $(PORT)

test:
	@tools/deps test
	@tools/run-tests

bench: all
	@tools/bench

chaos:
	@tools/deps test
	@tools/run-tests build
	@NEXUS_KILLS=$(KILLS) NEXUS_ROUNDS=$(ROUNDS) "$$(tools/venv)" -m pytest -q --timeout 7200 tests/crash tests/faults

fuzz:
	@tools/deps test
	@tools/fuzz $(MINUTES)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build web/dist
