# nginx as root's master with workers of www-data: files, a proxy, reloads, log rotation.
needs="nginx curl wrk openssl pgrep /usr/bin/python3"
packages="nginx-light curl wrk openssl procps python3"
about="a web server and proxy with two workers"
versions="nginx libssl3 libpcre2-8-0 zlib1g"
covers="static files with and without sendfile, ranges, compression, directory listings, upstreams over TCP, by name and one over a Unix socket with a cache on disk, HTTPS and HTTP/2, uploads, limits, errors, wrk, listening on all addresses, CPU affinity and priority of workers, reload (good and bad), reopened logs, an orderly end, a fast one, a worker that must be killed"
lacks="dynamic modules, mail and stream, aio, syslog, a new binary (USR2)"

prepare() {
	mkdir -p www/list cache
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	echo "<p>hello" >www/index.html
	seq 200000 >www/big.txt
	seq 300 >www/small.txt
	local sendfile=on reuse= limits=
	odd || { sendfile=off; reuse=reuseport; limits="worker_cpu_affinity auto; worker_priority 1; worker_rlimit_nofile 2048; pcre_jit on;"; }
	cat >nginx.conf <<-END
		daemon off;
		user www-data;
		worker_processes 2; $limits
		pid /srv/demo/nginx.pid;
		error_log /srv/demo/log/error.log info;
		events { worker_connections 256; }
		http {
			include /etc/nginx/mime.types;
			access_log /srv/demo/log/access.log;
			client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi;
			uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
			sendfile $sendfile; tcp_nopush on; tcp_nodelay on;
			gzip on; gzip_types text/plain;
			limit_req_zone \$binary_remote_addr zone=slow:1m rate=2r/s;
			proxy_cache_path /srv/demo/cache levels=1:2 keys_zone=c:1m max_size=1m inactive=1s;
			upstream socket { server unix:/srv/demo/up.sock; keepalive 4; }
			server {
				listen 127.0.0.1:8080 $reuse;
				listen [::1]:8080;
				listen 127.0.0.1:8443 ssl http2;
				listen 8082; listen 127.0.0.1:8082;
				ssl_certificate cert.pem; ssl_certificate_key key.pem;
				root /srv/demo/www;
				open_file_cache max=100;
				client_max_body_size 4m; client_body_buffer_size 16k;
				location /list/ { autoindex on; }
				location /where { return 200 \$server_addr; }
				location ~ ^/numbers/(\d+)\$ { return 200 \$1; }
				location /slow/ { limit_req zone=slow burst=1; alias /srv/demo/www/; }
				location /cached/ { proxy_pass http://127.0.0.1:8081/; proxy_cache c; proxy_cache_valid 1s; }
				location /socket/ { proxy_pass http://socket/; proxy_http_version 1.1; proxy_set_header Connection ""; }
				location /named/ { resolver 127.0.0.1; set \$up "web.test:8081"; proxy_pass http://\$up/small.txt; }
				location /down/ { proxy_pass http://127.0.0.1:9/; }
				location /upload { proxy_pass http://127.0.0.1:8081; }
			}
			server { listen 127.0.0.1:8081; listen unix:/srv/demo/up.sock; root /srv/demo/www;
				location /upload { client_max_body_size 4m; client_body_in_file_only clean; proxy_pass http://127.0.0.1:8080/small.txt; } }
		}
	END
}

work() {
	local i base=http://127.0.0.1:8080
	name_server
	start nginx -p /srv/demo -c nginx.conf
	await port 8443
	for i in 1 2; do
		gets $base/ hello
		gets "http://[::1]:8080/" hello
		gets https://127.0.0.1:8443/ hello --http2
		gets $base/big.txt 199999
		gets $base/big.txt 199999 --compressed
		gets $base/big.txt 1 -r 0-9,20-29
		gets $base/list/ "Index of"
		# Where it listens on all addresses, it asks which one was meant.
		gets http://127.0.0.1:8082/where 127.0.0.1
		gets $base/cached/big.txt 199999
		gets $base/cached/small.txt 300
		gets $base/socket/small.txt 300
		gets $base/named/ 300
		gets $base/down/ "502 Bad Gateway"
		gets $base/missing "404 Not Found"
		gets $base/numbers/42 42
		gets $base/socket/big.txt 199999 --limit-rate 3M
		gets $base/upload "" --data-binary @www/big.txt
		gets $base/upload "413 Request Entity Too Large" --data-binary @<(head -c 5000000 /dev/zero)
		gets $base/slow/small.txt 300
		gets $base/ "304" -o /dev/null -w '%{http_code}' -H "If-Modified-Since: $(date -uR -r www/index.html | sed 's/+0000/GMT/')"
		curl -sS --max-time 0.002 $base/cached/big.txt >/dev/null 2>&1 || true
		printf 'nonsense\r\n\r\n' >/dev/tcp/127.0.0.1/8080
		wrk -t1 -c16 -d"$(full && echo 3 || echo 1)s" $base/small.txt >/dev/null
		[ "$i" = 1 ] || break
		# Log rotation.
		mv log/access.log log/access.1
		signal USR1
		await test -e log/access.log
		# A configuration that is wrong changes nothing; a right one brings new workers.
		mv nginx.conf right.conf
		echo "nonsense;" >nginx.conf
		signal HUP
		await grep -q 'unknown directive "nonsense"' log/error.log
		mv right.conf nginx.conf
		signal HUP
		await grep -q 'gracefully shutting down' log/error.log
	done
	# The cache's loader has its turn a minute after the start.
	! full || [ "$ROUND" != 1 ] || sleep 61
	if odd; then
		stop QUIT
	else
		# A worker that does not end within a second is killed.
		kill -STOP "$(pgrep -of '^nginx: worker process')"
		stop TERM
	fi
	[ ! -e nginx.pid ] || fail "no orderly end"
	! grep -E '\[(alert|emerg)\]' log/error.log | grep -v -e nonsense -e "exited on signal 9" || fail "its log has alerts"
}
