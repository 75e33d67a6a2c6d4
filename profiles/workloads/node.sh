# A web service in Node.js (node.js). Learned from release 20; Debian's own nodejs (18.20.4) ran under the profile too, with
# nothing denied.
needs="node /usr/bin/python3 curl openssl setpriv"
packages="nodejs python3 curl openssl"
about="a web service on Node's own modules (workloads/node.js)"
versions="nodejs"
covers="HTTP and HTTPS, files, watching, child processes (sort, sleep, sh), fork, worker threads, compression, crypto, address look-ups, garbage collection, errors, log rotation, an end by SIGTERM"
lacks="native add-ons, the cluster module, the inspector, other child programs, look-ups by other means than DNS and files"

prepare() {
	user=nobody
	mkdir app && cp /srv/workloads/node.js app/ && cd app
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	echo "static text" >page.html
	chown -R nobody .
}

work() {
	local i route times=1
	! full || times=15
	name_server
	start node node.js
	await port 8443
	for ((i = 0; i < times; i++)); do
		gets http://127.0.0.1:8000/page.html "static text"
		gets https://127.0.0.1:8443/health healthy
		for route in "files:ENOENT" "child:SIGTERM" "threads:sums" "digest:sha256" "fetch:ENOTFOUND" "nothing:error"; do
			gets "http://127.0.0.1:8000/${route%%:*}" "${route#*:}" -d "b a $i"
		done
		[ "$i" = 0 ] || continue
		mv app.log app.log.1
		signal HUP
		sleep 0.2
		gets http://127.0.0.1:8000/health healthy
		curl -sS --max-time 0.01 -d x http://127.0.0.1:8000/child >/dev/null 2>&1 || true
		for _ in 1 2 3 4 5 6 7 8; do curl -sS http://127.0.0.1:8000/health >/dev/null & done
		sleep 0.3
	done
	[ -e app.log ] || fail "the log was not opened anew"
	! full || sleep 5
	stop TERM
	grep -q ended app.log || fail "no orderly end"
}
