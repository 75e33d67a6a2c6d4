# A web service in Python (python3.py): the standard library's servers, and what services commonly import.
needs="/usr/bin/python3 curl openssl setpriv"
packages="python3 curl openssl"
about="a web service on the standard library (workloads/python3.py)"
versions="python3.11 libssl3 libsqlite3-0"
covers="HTTP and HTTPS, JSON, SQLite in both journal modes, child processes (sort, sleep, echo), a fork, a pool of processes (spawn), threads, asyncio, address look-ups, temporary files, errors, log rotation, SIGHUP, an end by SIGTERM"
lacks="packages from outside the standard library (numpy, uvloop ...), other child programs, look-ups by other means than DNS and files"

prepare() {
	user=nobody
	mkdir app && cp /srv/workloads/python3.py app/ && cd app
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	echo "static text" >page.html
	mkdir log && chown -R nobody .
}

work() {
	local i route times=1 mode=delete
	! full || times=10
	odd || mode=wal
	name_server
	start /usr/bin/python3 -I python3.py "$mode"
	await port 8000
	for ((i = 0; i < times; i++)); do
		gets http://127.0.0.1:8000/page.html "static text"
		gets https://127.0.0.1:8443/health healthy
		gets http://127.0.0.1:8000/ "Directory listing"
		gets http://127.0.0.1:8000/missing "File not found"
		for route in "notes:notes" 'child:-15' "files:not there" "threads:true" "processes:40425, \"forked\": 7" "tasks:child\\nnamed" \
			"fetch:127.0.0.1 [Errno -2]" "digest:sha256" "nothing:no such route"; do
			gets "http://127.0.0.1:8000/${route%%:*}" "${route#*:}" -d "b a $i"
		done
		[ "$i" = 0 ] || continue
		signal HUP
		# Log rotation: the next line goes to a new file.
		mv app.log app.log.1
		gets http://127.0.0.1:8000/health healthy
		# A client that goes away in the middle, and many at once.
		curl -sS --max-time 0.01 -d x http://127.0.0.1:8000/child >/dev/null 2>&1 || true
		for _ in 1 2 3 4 5 6 7 8; do curl -sS http://127.0.0.1:8000/health >/dev/null & done
		sleep 0.3
	done
	[ -e app.log ] || fail "the log was not opened anew"
	stop TERM
	grep -q ended app.log || fail "no orderly end"
}
