# redis as the user redis: many commands, snapshots, the append-only file, scripts, a replica.
needs="redis-server redis-cli redis-benchmark setpriv openssl /usr/bin/python3"
packages="redis-server redis-tools openssl python3"
about="a store with snapshots and an append-only file, and a replica of it"
versions="redis-server libjemalloc2 libssl3"
covers="redis-benchmark over TCP and a Unix socket, Lua, publish and subscribe, blocking commands, expiry, SAVE, BGSAVE, AOF rewriting, I/O threads, TLS, large values, replies and snapshots, a full synchronization, of a replica and as one (by name), MIGRATE, CONFIG REWRITE, errors, memory limits, DEBUG RELOAD, restart from disk, SHUTDOWN while a snapshot is saved, SIGTERM"
lacks="Sentinel, Cluster, modules, crashes (its report of a crash needs more), notification to systemd"

prepare() {
	user=redis
	mkdir data replica
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	local threads=1 fsync=everysec places=
	odd || { threads=2; fsync=always; places="server_cpulist 0"; }
	cat >data/redis.conf <<-END
		bind 127.0.0.1 -::1
		port 6379
		tls-port 6380
		tls-cert-file /srv/demo/cert.pem
		tls-key-file /srv/demo/key.pem
		tls-auth-clients no
		unixsocket /srv/demo/data/redis.sock
		dir /srv/demo/data
		logfile /srv/demo/data/redis.log
		appendonly yes
		appendfsync $fsync
		save 1 1
		io-threads $threads
		io-threads-do-reads yes
		enable-debug-command yes
		repl-diskless-sync-delay 0
		lazyfree-lazy-user-del yes
		$places
	END
	chown -R redis data replica cert.pem key.pem
}

ask() { redis-cli -h 127.0.0.1 "$@"; }
says() { [[ $(ask "${@:2}" 2>&1) == "$1"* ]] || fail "no $1 from: ${*:2}"; }

work() {
	local requests=400 main
	! full || requests=1000
	start redis-server /srv/demo/data/redis.conf
	await ask ping
	redis-benchmark -h 127.0.0.1 -n "$requests" -c 20 -q >/dev/null || fail "redis-benchmark"
	redis-benchmark -s data/redis.sock -n "$requests" -c 20 -P 8 -t set,get,lpush,lpop -d 2000 -q >/dev/null || fail "redis-benchmark, socket"
	says PONG -p 6380 --tls --insecure ping
	says 10 eval "local s = 0 for i = 1, 4 do s = s + redis.call('incr', KEYS[1]) end return s" 1 counter
	says "ERR unknown command" nonsense
	says OK set short lived px 20
	ask blpop nothing 0.1 >/dev/null
	ask subscribe news >log/news 2>&1 &
	await grep -q subscribe log/news
	says 1 publish news flash
	# More than fits into one buffer, or is written to a disk at once (4 MB): in replies, snapshots and what replicas get.
	says OK debug populate 100000 many 60
	ask setrange large 8000000 end >/dev/null
	ask get large | tail -c 20 | grep -q end || fail "no large reply"
	[ "$(ask keys 'many:*' | wc -l)" = 100000 ] || fail "no long reply"
	await saved
	ask bgsave schedule >/dev/null
	await ask_for rdb_bgsave_in_progress:0
	ask bgrewriteaof >/dev/null
	await ask_for aof_rewrite_in_progress:0
	says OK debug reload
	says OK config set maxmemory 5mb
	ask config set maxmemory-policy allkeys-lru >/dev/null
	says OK config set maxmemory 0
	says OK config rewrite
	ask eval "for i = 1, 30000 do redis.call('hset', 'big', i, i) end return 1" 0 >/dev/null
	ask del big >/dev/null
	ask memory purge >/dev/null
	ask flushall async >/dev/null
	says OK set kept value
	ask info all >/dev/null; ask memory doctor >/dev/null; ask latency doctor >/dev/null
	# A replica, outside of the profile, which gets everything by a full synchronization.
	replica --replicaof 127.0.0.1 6379
	await has_value 6390
	ask -p 6390 shutdown nosave >/dev/null 2>&1 || true
	stop TERM
	# From the append-only file.
	start redis-server /srv/demo/data/redis.conf
	await ask_for loading:0
	says value get kept
	# With so many keys the child that saves a snapshot is still at it when it is told to end.
	says OK debug populate 200000
	printf '%s\n' "bgsave schedule" "shutdown save" | ask >/dev/null 2>&1 || true
	wait "$server" || fail "ended with $? after SHUTDOWN"
	# The other way round: under the profile is who replicates. One program at a time, since what it learns goes to one file.
	name_server
	replica --appendonly yes
	server=$!
	await ask -p 6390 setrange large 8000000 end
	says OK -p 6390 set kept "other value"
	start redis-server --port 6391 --bind 127.0.0.1 --dir /srv/demo/data --logfile /srv/demo/data/replica.log --replicaof first.test 6390
	await linked
	says "other value" -p 6391 get kept
	says OK -p 6391 replicaof no one
	says OK -p 6391 set moved value
	says OK -p 6391 migrate 127.0.0.1 6390 moved 0 5000
	stop TERM
}

# Another server, outside of the profile.
replica() {
	setpriv --reuid=redis --regid="$(id -g redis)" --init-groups \
		redis-server --port 6390 --bind 127.0.0.1 --dir /srv/demo/replica --repl-diskless-sync-delay 0 "$@" >/dev/null </dev/null &
}

# Not while a snapshot is under way.
saved() { [ "$(ask save)" = OK ]; }
ask_for() { ask info all | tr -d '\r' | grep -qx "$1"; }
linked() { ask -p 6391 info replication | tr -d '\r' | grep -qx master_link_status:up; }
has_value() { [ "$(ask -p "$1" get kept)" = value ]; }
