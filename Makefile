# The targets that people remember, over CMake's presets (see CMakePresets.json) and the scripts of tools/.

PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ARGS ?=

.PHONY: all build run test bench soak install format check clean help

all: build

build:
	@tools/build release -j $(JOBS)

run:
	@tools/setup run
	@tools/build release -j $(JOBS) --target weft
	build/weft web docs/site --port 8000 $(ARGS)

test:
	@tools/setup run
	@tools/setup test
	@tools/run-tests $(ARGS)

bench:
	@tools/setup run
	@tools/setup bench
	@tools/build release -j $(JOBS)
	@tools/bench $(ARGS)

soak:
	@tools/setup run
	@tools/setup test
	@tools/run-tests --soak $(ARGS)

install: build
	cmake --install build --prefix "$(PREFIX)"

format:
	@tools/check-format --write

check:
	@tools/check $(ARGS)

clean:
	rm -rf build

help:
	@echo "make              build the library and the command: build/weft"
	@echo "make run          install what is missing, build, serve docs/site on http://127.0.0.1:8000"
	@echo "make test         install what is missing, run every test (ARGS='release asan' for some stages)"
	@echo "make bench        install the peers, print our figures beside theirs"
	@echo "make soak         the long tests: kill -9 ten thousand times, an hour of load"
	@echo "make check        layers, style, static analysis, headers alone, exported symbols"
	@echo "make format       let clang-format rewrite the sources"
	@echo "make install      to PREFIX=$(PREFIX)"
	@echo "make clean        remove build/"
