#!/usr/bin/env bash
# Installs what the tests need (as root, where something is missing), then checks and tests everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cleanup=()
trap 'rm -f "${cleanup[@]}"' EXIT

# A program that must be there, and the Debian package that brings it.
needed=(
	gcc:gcc gcc:libc6-dev strace:strace nginx:nginx-light redis-server:redis-server redis-benchmark:redis-tools wrk:wrk
	curl:curl git:git python3:python3 busybox:busybox-static bwrap:bubblewrap setpriv:util-linux ps:procps
	bpftrace:bpftrace gdb:gdb node:nodejs perl:perl make:make sqlite3:sqlite3 jq:jq bc:bc zip:zip
	runc:runc crun:crun podman:podman dockerd:docker.io ctr:containerd debootstrap:debootstrap
	systemd-analyze:systemd docker-compose:docker-compose tini:tini dumb-init:dumb-init script:bsdutils
	man:man-db groff:groff-base mandoc:mandoc zsh:zsh fish:fish
	# A browser and a font for it.
	chromium:chromium chromium:fonts-dejavu-core
	go:golang-go /usr/lib/postgresql/15/bin/postgres:postgresql-15 openssl:openssl ip:iproute2
)
export PATH="$PATH:/usr/sbin:/sbin"
missing=()
for pair in "${needed[@]}"; do
	command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# The 32-bit C library, where the architecture has one.
if [ "$(uname -m)" = x86_64 ] && command -v gcc >/dev/null; then
	echo 'int main(void) { return 0; }' | gcc -m32 -static -x c -o /dev/null - 2>/dev/null || missing+=(gcc-multilib)
elif [ "$(uname -m)" = x86_64 ]; then
	missing+=(gcc-multilib)
fi
# For kubernetes-validate, which a test installs for itself.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
# The C library that our programs are compared with.
[ -e /usr/include/seccomp.h ] || missing+=(libseccomp-dev)
# What `.ci/musl` builds with, where the toolchain lacks the target.
if [ ! -d "$(rustc --print target-libdir --target "$(uname -m)-unknown-linux-musl")" ]; then
	[ -e "/usr/lib/$(uname -m)-linux-musl/rcrt1.o" ] || missing+=(musl-dev)
	[ -e /usr/lib/rustlib/src/rust/library/std ] || missing+=(rustc-web cargo-web rust-web-src)
fi
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		export DEBIAN_FRONTEND=noninteractive
		# The installation must not start the servers.
		if [ ! -e /usr/sbin/policy-rc.d ]; then
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
			chmod 755 /usr/sbin/policy-rc.d
			cleanup+=(/usr/sbin/policy-rc.d)
		fi
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	else
		echo "tests/run.sh: not installed, their tests are skipped: ${missing[*]}" >&2
	fi
fi

step() {
	printf '\n== %s\n' "$*" >&2
	"$@"
}

skips=$(mktemp)
cleanup+=("$skips")
export SECCOMP_RUN_SKIP_LOG=$skips

step cargo fmt --check
step cargo clippy --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --no-deps --document-private-items
step cargo build --release
step cargo test --release --no-fail-fast
# With another C library whatever asks the kernel, or hears of signals, is another program.
if musl=$(step bash .ci/musl); then
	SECCOMP_RUN_BINARY=$musl step cargo test --release --no-fail-fast --test integration -- attacks:: denials:: enforce:: \
		environment:: fails_closed:: help:: init:: learn:: merge:: pid1:: signals:: terminals:: transparency:: unchanged:: witness::
elif [ -n "${SECCOMP_RUN_NO_SKIP:-}" ]; then
	exit 1
else
	echo "the build with musl: it was not made" >>"$skips"
fi
if [ -s "$skips" ]; then
	printf '\nskipped:\n' >&2
	sort -u "$skips" >&2
fi
