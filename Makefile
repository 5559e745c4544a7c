# Every target does its own set-up; scripts/setup.sh says what it installs.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

# For `make run`: passed on to `tower run` and to `station run`, and a folder of music to play
# (without one, a demo programme is made and played).
ARGS ?=
STATION_ARGS ?=
MUSIC ?=
# For `make soak`: for each run.
SOAK_SECONDS ?= 600
# For `make test-clients`: for each player; they play side by side.
CLIENT_SECONDS ?= 60
# For `make fuzz`: for each target.
FUZZ_SECONDS ?= 60
# For `make image` and `make lint-buildroot`.
BOARD ?=
BUILDROOT ?=

# For `make install`: where to, and which programs.
DESTDIR ?=
PREFIX ?= /usr/local
PROGRAMS ?= target/release

.PHONY: help run test test-clients soak bench bench-listeners fuzz clean build install uninstall cross test-aarch64 deb deb-arm64 box-images boot-test update-test pi-test power-test test-deb dist image lint-buildroot

help:
	@echo "make run    builds and starts the station; MUSIC=folder plays your music"
	@echo "make test   checks everything, but for the long runs"
	@echo "make build, sudo make install; make deb: for a Debian or a Raspberry Pi OS, see docs/install.md"
	@echo "make cross, make deb-arm64: for a Raspberry Pi, from another computer"
	@echo "make dist, make image BOARD=rpi4 BUILDROOT=folder: the box's card and update, see buildroot/README.md"
	@echo "make test-clients: players and browsers, for real, a minute each"
	@echo "make boot-test | update-test | power-test: the box in QEMU, booted for real"
	@echo "make soak | bench | bench-listeners | fuzz | test-aarch64 | clean: see README.md"

DEMO := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/retrowaves/demo

# scripts/run.sh starts both, ends both, and says how to listen.
run: export RUN_TOWER_ARGS := $(ARGS)
run: export RUN_STATION_ARGS := $(STATION_ARGS)
run: export MUSIC := $(MUSIC)
run: export DEMO := $(DEMO)
run:
	@folder=$${MUSIC/#\~\//$$HOME/}; [ -z "$$folder" ] || [ -d "$$folder" ] || \
		{ echo "run: $$folder: no folder of music is there" >&2; exit 2; }
	@scripts/setup.sh run
	cargo build --release --locked --bins
	@[ -n "$$MUSIC" ] || scripts/demo.sh "$$DEMO"
	@MUSIC=$${MUSIC/#\~\//$$HOME/}; exec scripts/run.sh target/release "$${MUSIC:-$$DEMO}"

# Tests that mostly wait, and measure nothing that a second tower beside them could disturb.
PAIRED := announce box_image box_owner box_slots box_update decoder_files levels metrics pull_relay relay stand_ins station_files \
	station_joins station_killed station_link station_loudness station_think
ALONE = $(filter-out $(PAIRED),$(basename $(notdir $(wildcard tests/*.rs))))

# Unit tests side by side, what mostly waits two by two, what measures time one after the
# other. A failure stops neither: one run shows all there is. Instructions are
# counted in an optimised build, since that is what is promised something.
test:
	@scripts/setup.sh test
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	@status=0; \
	cargo test --locked --no-fail-fast --lib --bins || status=1; \
	cargo test --locked --no-fail-fast $(ALONE:%=--test %) -- --test-threads=1 || status=1; \
	cargo test --locked --no-fail-fast $(PAIRED:%=--test %) -- --test-threads=2 || status=1; \
	cargo test --locked --profile counted --test rotation_cost --test live_drift || status=1; \
	exit $$status

# Real players at a real tower; tests/clients/clients_test.py says what is shown.
test-clients:
	@scripts/setup.sh clients
	cargo build --release --locked --bins
	tests/clients/clients_test.py target/release target/clients --seconds $(CLIENT_SECONDS)

# Long runs are ignored tests; each lasts SOAK_SECONDS.
soak:
	@scripts/setup.sh soak
	RETROWAVES_SOAK_SEC=$(SOAK_SECONDS) cargo test --release --locked --no-fail-fast --test '*' -- --ignored --test-threads=1 --nocapture

bench:
	@scripts/setup.sh bench
	cargo bench --locked --bench cost

# The fan-out beside Icecast and a bare loop of send(); BATCHES=1: what each size of batch costs instead.
bench-listeners:
	@scripts/setup.sh bench
	cargo bench --locked --bench listeners -- $(if $(BATCHES),batches)

fuzz:
	@scripts/setup.sh fuzz
	@targets=$$(cargo +nightly fuzz list) || exit 1; \
	for target in $$targets; do \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		mkdir -p "fuzz/corpus/$$target"; \
		cargo +nightly fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=16384 -print_final_stats=1 || exit 1; \
	done

build:
	@scripts/setup.sh run
	cargo build --release --locked --bins

# Builds nothing, so that it can be run as root by somebody whose Rust is another user's.
install:
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install.sh "$(PROGRAMS)"

uninstall:
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install.sh --remove

# For a Raspberry Pi with a 64-bit system, into target/cross.
CROSS_PROGRAMS := target/cross/aarch64-unknown-linux-gnu/release

cross:
	@scripts/setup.sh cross
	board/cross.sh build --release --locked --bins
	@board/check-programs.sh $(CROSS_PROGRAMS)

# Tests as aarch64 programs, emulated: board/test-aarch64.sh says which are left out and why.
test-aarch64:
	@scripts/setup.sh test-aarch64
	board/test-aarch64.sh

# Packages for Debian and Raspberry Pi OS, into target/debian.
deb: build
	@scripts/setup.sh deb
	cargo deb --locked --no-build --output target/debian/

# Installs, upgrades, removes and purges it in a copy of this machine that is thrown away; needs root.
test-deb: deb
	scripts/check-deb.sh "$$(ls -t target/debian/retrowaves_*_$$(dpkg --print-architecture).deb | head -n 1)"

deb-arm64: cross
	@scripts/setup.sh deb-arm64
	CARGO_TARGET_DIR=target/cross cargo deb --locked --no-build --no-strip --target aarch64-unknown-linux-gnu --output target/debian/

# The release's tarball, every crate in it, and its hash: target/dist.
dist:
	@scripts/setup.sh run
	board/dist.sh

# The box's card and its update, by an unpacked Buildroot: buildroot/README.md. What is exported is what
# buildroot/image.sh is told.
image: export BOARD := $(BOARD)
image: export BUILDROOT := $(BUILDROOT)
image:
	@buildroot/image.sh

lint-buildroot:
	@[ -n "$(BUILDROOT)" ] || { echo "lint-buildroot: BUILDROOT=folder, an unpacked Buildroot" >&2; exit 2; }
	buildroot/lint.sh "$(BUILDROOT)"

# The box in QEMU, from a card that is made here of Debian's packages and our programs: tests/box/boot_test.py
# and tests/box/update_test.py say what is shown. Kept in target/guest; a second run makes only what changed.
BOX_CUTS ?= 50
BOX_SEED ?= 1
BOX_IMAGES := target/guest

box-images: cross
	@scripts/setup.sh guest
	board/ffmpeg.sh
	board/guest/all.sh

boot-test: box-images
	tests/box/boot_test.py $(BOX_IMAGES) $(BOX_IMAGES)/cards --cuts 3

update-test: box-images
	tests/box/update_test.py $(BOX_IMAGES) $(BOX_IMAGES)/cards

# The same card in an emulated Raspberry Pi 3.
pi-test: box-images
	tests/box/pi_test.py $(BOX_IMAGES) $(BOX_IMAGES)/cards

# Goes on where it was stopped, if the seed is the same.
power-test: box-images
	tests/box/power_test.py $(BOX_IMAGES) $(BOX_IMAGES)/cards --cuts $(BOX_CUTS) --seed $(BOX_SEED)

clean:
	cargo clean
