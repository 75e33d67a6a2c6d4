# A web service in Go (go-http.go). Learned from the usual build, which uses libc, and from a static one; the tests build
# the usual one only.
needs="go gcc /usr/bin/python3 curl wrk openssl setpriv"
packages="golang-go gcc python3 curl wrk openssl"
about="a web service on net/http (workloads/go-http.go), built with cgo and without"
versions="golang-1.19-go"
covers="HTTP, HTTPS and HTTP/2, static files and ranges, a reverse proxy, files, goroutines and garbage collection, an HTTP client, address look-ups, a Unix socket, wrk, errors, log rotation, SIGHUP, an end by SIGTERM that finishes what is under way"
lacks="os/exec, cgo code of others, plugins, look-ups by other means than DNS and files, newer releases of Go"

prepare() {
	mkdir app
	cp /srv/workloads/go-http.go app/
	cd app
	local cache=/srv/demo/cache
	# What an earlier build has left.
	[ ! -d /srv/out/cache ] || cache=/srv/out/cache
	GOCACHE=$cache GO111MODULE=off go build -o with-cgo go-http.go || fail "go build"
	! full || GOCACHE=$cache GO111MODULE=off CGO_ENABLED=0 go build -o static go-http.go || fail "go build"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	echo "static text" >page.txt
	seq 200000 >big.txt
	user=nobody
	chown -R nobody .
}

work() {
	local build builds=with-cgo
	! full || builds="with-cgo static"
	name_server
	# Names are looked up by libc in one round of two, by Go's own resolver in the other.
	! odd || export GODEBUG=netdns=cgo
	for build in $builds; do
		rm -f app.log*
		serve "./$build"
	done
}

serve() {
	local i times=1 slow base=http://127.0.0.1:8000
	! full || times=10
	start "$1"
	await port 8443
	for ((i = 0; i < times; i++)); do
		gets $base/health healthy
		gets https://127.0.0.1:8443/health healthy
		gets $base/static/page.txt "static text"
		gets $base/static/big.txt 199999
		gets $base/static/big.txt 1 -r 0-9,20-29
		gets $base/static/ page.txt
		gets $base/static/missing "404 page not found"
		gets $base/proxy/page.txt "static text"
		gets $base/files '"missing":true' -d "text $i"
		gets $base/work '"sums":100' -d "text $i"
		gets $base/fetch '"named":["127.0.0.1","127.0.0.1"],"proto":"HTTP/2.0","refused":true,"unknown":true' -d x
		gets $base/files "too large" --data-binary @<(head -c 2000000 /dev/zero)
		[ "$i" = 0 ] || continue
		mv app.log app.log.1
		signal HUP
		await test -e app.log
		curl -sS --max-time 0.01 $base/slow >/dev/null 2>&1 || true
		wrk -t1 -c16 -d"$(full && echo 4 || echo 1)s" $base/health >/dev/null
	done
	curl -sS $base/slow >slow 2>&1 & slow=$!
	sleep 0.2
	stop TERM
	wait "$slow"
	grep -q "slow, but there" slow || fail "a request was lost at the end"
	grep -q ended app.log || fail "no orderly end"
}
