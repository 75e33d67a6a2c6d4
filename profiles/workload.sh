#!/usr/bin/env bash
# workload.sh NAME DIR [WORD]...: runs the program of workloads/NAME.sh under its load, with the WORDs before it.
#
# It runs in namespaces of its own, as root: traffic stays on a private loopback, files are below /srv (a tmpfs; DIR is
# /srv/out there), and whatever is left at the end is killed. Learning and the tests run the same files:
#
#   workload.sh nginx DIR /srv/out/seccomp-run --learn --update -o /srv/out/nginx.json --
#   workload.sh nginx DIR /srv/out/seccomp-run --enforce /srv/out/nginx.json --kill --
#
# In the environment: LOAD=light (shorter, for tests) or full; ROUND, a number (what the load varies by); LIMIT, seconds.
set -euo pipefail

if [ "${1-}" != --inside ]; then
	name=$1 dir=$(realpath "$2")
	here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
	[ -e "$here/workloads/$name.sh" ] || { echo "workload.sh: no workload $name" >&2; exit 2; }
	shift 2
	[ "$(id -u)" = 0 ] || { echo "workload.sh: only root can make the namespaces" >&2; exit 2; }
	# What the program sees must not depend on who runs this.
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 LOAD="${LOAD-full}" ROUND="${ROUND-1}" \
		timeout --foreground -k 5 "${LIMIT-600}" \
		unshare --mount --net --pid --fork --kill-child --mount-proc \
		bash "$here/workload.sh" --inside "$here" "$name" "$dir" "$@"
fi

here=$2 name=$3 dir=$4
shift 4
words=("$@")

# Prepared beside, since any of these may itself be below /srv.
stage=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$stage"
cp -r "$here/workloads" "$stage/workloads"
mkdir "$stage/out" "$stage/demo" "$stage/demo/tmp"
chmod 1777 "$stage/demo/tmp"
mount --bind "$dir" "$stage/out"
mount --move "$stage" /srv
rmdir "$stage"
ip link set lo up
export HOME=/srv/demo TMPDIR=/srv/demo/tmp
cd /srv/demo

# --- what the files of workloads/ use

say() { echo "$name: $*"; }

# Ends the workload; namespaces take everything along.
fail() {
	echo "$name: $*" >&2
	for log in /srv/demo/log/*; do
		[ ! -s "$log" ] || { echo "--- $log" >&2; tail -n 20 "$log" >&2; }
	done
	exit 1
}

full() { [ "$LOAD" = full ]; }
# Is this round one of every two?
odd() { [ $((ROUND % 2)) = 1 ]; }

mkdir log
user=root
# The program after the words, as its user. It takes the shell's place, so that signals reach who was started.
enter() {
	local as=()
	[ "$user" = root ] || as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
	exec "${as[@]}" "${words[@]}" "$@"
}

# Runs the program to its end.
under() { (enter "$@"); }

# A server, in the background. It ends with `stop`.
start() {
	(enter "$@") >>/srv/demo/log/out 2>>/srv/demo/log/err </dev/null &
	server=$!
}

signal() { kill -s "$1" "$server" || fail "not there for $1"; }

# Ends the server with a signal; its status must be the second word, or 0.
stop() {
	local status=0
	signal "$1"
	wait "$server" || status=$?
	[ "$status" = "${2-0}" ] || fail "ended with $status after $1"
}

# Waits until a command succeeds.
await() {
	local i
	for ((i = 0; i < 300; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		kill -0 "$server" 2>/dev/null || fail "ended while waiting for: $*"
		sleep 0.1
	done
	fail "waited in vain for: $*"
}

port() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# This URL's answer must have that text in it.
gets() {
	local answer
	answer=$(curl -sSk --max-time 20 "${@:3}" "$1" 2>&1 | tr -d '\0') || true
	[[ $answer == *"$2"* ]] || fail "$1 gave: ${answer:0:200}"
}

# A name server that answers every name below test.
name_server() {
	echo "nameserver 127.0.0.1" >/srv/demo/resolv.conf
	mount --bind /srv/demo/resolv.conf /etc/resolv.conf
	/usr/bin/python3 -I /srv/workloads/name_server.py &
}

# shellcheck source=/dev/null
. "/srv/workloads/$name.sh"
prepare
work
say "done"
