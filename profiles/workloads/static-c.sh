# A static tool in C (static-c.c): reads a file in threads, writes another, as an ordinary user.
needs="gcc seq setpriv"
packages="gcc libc6-dev"
about="a static glibc tool with threads and files (workloads/static-c.c)"
covers="reading by mmap, threads and locks, a file written beside and renamed, signals, SIGTERM in the middle, errors"
lacks="sockets, child processes, name look-ups, other C libraries"

prepare() {
	gcc -O1 -Wall -Werror -static -pthread -o static-c /srv/workloads/static-c.c
	user=nobody
	mkdir work
	chown nobody work
	seq 500000 >work/numbers
	: >work/empty
}

work() {
	local status=0
	under ./static-c work/numbers work/result >said || fail "ended with $?"
	grep -q ' words$' work/result || fail "no result"
	under ./static-c work/empty work/result >said || fail "ended with $?"
	[ "$(tail -n 1 said)" = "0 words" ] || fail "empty: $(cat said)"
	under ./static-c work/missing work/result 2>/dev/null || status=$?
	[ "$status" = 1 ] || fail "a missing file: ended with $status"
	status=0
	under ./static-c work/numbers work/no/result 2>/dev/null || status=$?
	[ "$status" = 1 ] || fail "a missing directory: ended with $status"
	status=0
	under ./static-c 2>/dev/null || status=$?
	[ "$status" = 2 ] || fail "no words: ended with $status"
	: >/srv/demo/log/out
	start ./static-c work/numbers work/result
	await grep -q reading /srv/demo/log/out
	signal USR1
	wait "$server" || fail "ended with $? after USR1"
	grep -q ' bytes$' /srv/demo/log/err || fail "USR1 was not heard"
	: >/srv/demo/log/out
	start ./static-c work/numbers work/result
	await grep -q reading /srv/demo/log/out
	stop TERM 143
}
