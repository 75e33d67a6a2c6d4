# A static program that only computes (minimal.c): reads standard input, writes standard output.
needs="gcc seq sort"
packages="gcc libc6-dev"
about="a static glibc program that reads standard input, computes and writes standard output (workloads/minimal.c)"
covers="pipes and files as input and output, memory that grows, bad input, a full output"
lacks="files that the program opens itself, threads, sockets, child processes, other C libraries"

prepare() {
	gcc -O1 -Wall -Werror -static -o minimal /srv/workloads/minimal.c
}

work() {
	local n=20000 status=0
	! full || n=100000
	seq "$n" | sort -R >numbers
	[ "$(under ./minimal <numbers | tail -n 1)" = "$(printf %g "$n")" ] || fail "a file: not sorted"
	[ "$(seq 100 -1 1 | under ./minimal | head -n 1)" = 1 ] || fail "a pipe: not sorted"
	under ./minimal </dev/null >empty || fail "no input"
	[ ! -s empty ] || fail "something came of nothing"
	echo 1 2 three | under ./minimal 2>/dev/null || status=$?
	[ "$status" = 1 ] || fail "bad input: ended with $status"
	status=0
	echo 1 2 | under ./minimal >/dev/full 2>/dev/null || status=$?
	[ "$status" = 3 ] || fail "a full output: ended with $status"
}
