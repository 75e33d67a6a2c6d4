# postgres as the user postgres: pgbench, maintenance, parallel and compiled queries, replication, log rotation, recovery.
needs="/usr/lib/postgresql/15/bin/postgres pgbench psql openssl setpriv"
packages="postgresql-15 postgresql-client-15 openssl"
about="the server: postgres and its own processes, without initdb and other programs"
versions="postgresql-15 libssl3 libicu72"
covers="pgbench over TCP, TLS and a Unix socket, vacuum, checkpoints, indexes, sorts on disk, parallel queries, JIT, notifications, large objects, prepared transactions, tablespaces, COPY to files, time-outs, cancelled and terminated sessions, pg_basebackup, logical decoding, peer and password authentication, a standby that is promoted, the log collector, reload, log rotation, a crashed session with recovery, all three ways to shut down"
lacks="initdb, archive_command, COPY ... PROGRAM and whatever else starts programs, huge pages, procedural languages but PL/pgSQL, extensions, Kerberos and LDAP"

bin=/usr/lib/postgresql/15/bin
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

prepare() {
	user=postgres
	mkdir data space files
	chown postgres data space files
	chmod 700 data
	as_postgres $bin/initdb -D data -A trust -N --locale=C.UTF-8 >log/initdb || fail "initdb"
	# As Debian has it, for users of these names: who is at the other end of a socket, and a password.
	sed -i '1i local all postgres peer map=root\nhost all guest localhost scram-sha-256' data/pg_hba.conf
	printf '%s\n' 'root root postgres' 'root postgres postgres' >>data/pg_ident.conf
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout data/server.key -out data/server.crt 2>/dev/null
	chown postgres data/server.*
	chmod 600 data/server.key
	local io=open_datasync
	local names=on
	! odd || { io=fdatasync; names=off; }
	cat >>data/postgresql.conf <<-END
		listen_addresses = 'localhost'
		unix_socket_directories = '/srv/demo/files'
		ssl = on
		logging_collector = on
		log_directory = 'log'
		log_min_duration_statement = 0
		wal_level = logical
		wal_sync_method = $io
		max_prepared_transactions = 5
		shared_buffers = 16MB
		max_wal_size = 32MB
		min_wal_size = 32MB
		autovacuum_naptime = 1
		bgwriter_delay = 20
		checkpoint_flush_after = 8kB
		track_io_timing = on
		log_hostname = $names
	END
}

sql() { psql -h /srv/demo/files -U postgres -X -q -v ON_ERROR_STOP=1 "$@" postgres; }
runs() { sql >/dev/null 2>log/sql || fail "$(cat log/sql)"; }
ready() { [ "$(sql -Atc 'select not pg_is_in_recovery()')" = t ]; }

work() {
	local rows=5000 length="-t 50" pid
	! full || { rows=300000; length="-T 8"; }
	start $bin/postgres -D /srv/demo/data
	await ready
	$bin/pgbench -h localhost -U postgres -i -q -s 1 postgres >/dev/null 2>&1 || fail "pgbench -i"
	PGSSLMODE=require $bin/pgbench -h localhost -U postgres -c 4 $length postgres >/dev/null 2>log/bench || fail "pgbench, TLS"
	$bin/pgbench -h /srv/demo/files -U postgres -c 4 $length -M prepared postgres >/dev/null 2>log/bench || fail "pgbench, socket"
	runs <<-END
		create table t as select i, md5(i::text) as text from generate_series(1, $rows) i;
		create index on t (text);
		create index concurrently on t (i);
		set work_mem = '64kB';
		select count(*) from (select * from t order by text desc) s;
		set work_mem = '4MB';
		set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
		set min_parallel_table_scan_size = 0;
		select count(*), max(text) from t;
		set jit_above_cost = 0; set jit_optimize_above_cost = 0; set jit_inline_above_cost = 0;
		select sum(i * 2 + length(text)) from t where i % 3 = 1;
		analyze t; vacuum (parallel 2) t; vacuum full t; cluster t using t_text_idx; reindex table t;
		checkpoint;
		listen news; notify news, 'flash';
		select lo_unlink(lo_from_bytea(0, 'large'));
		begin; insert into t values (0, 'prepared'); prepare transaction 'p'; commit prepared 'p';
		create tablespace s location '/srv/demo/space'; alter table t set tablespace s;
		copy t to '/srv/demo/files/t.csv' csv; truncate t; copy t from '/srv/demo/files/t.csv' csv;
		do \$\$ begin perform 1 / 0; exception when division_by_zero then raise notice 'caught'; end \$\$;
		create database other; drop database other;
		select pg_sleep(0.1); select pg_switch_wal(); select pg_ls_dir('.'); select pg_stat_file('postgresql.conf'), pg_read_file('PG_VERSION');
		select * from pg_stat_activity; select * from pg_timezone_names limit 1; select pg_rotate_logfile();
	END
	! sql -c "set statement_timeout = 50; select pg_sleep(10)" 2>/dev/null || fail "no time-out"
	! sql -c "copy t from '/srv/demo/files/missing'" 2>/dev/null || fail "a missing file was read"
	sql -c "select pg_sleep(30)" 2>/dev/null & pid=$!
	await sql_has "select 1 from pg_stat_activity where query like 'select pg_sleep(30)%'"
	runs <<<"select pg_cancel_backend(pid), pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep(30)%'"
	wait "$pid" && fail "not cancelled"
	runs <<<"create role guest login password 'secret'; grant pg_read_all_settings to guest"
	[ "$(PGPASSWORD=secret psql -h localhost -U guest -XAtc "show tcp_keepalives_idle; show tcp_user_timeout" postgres | wc -l)" = 2 ] || fail "no password"
	runs <<-END
		select pg_create_logical_replication_slot('d', 'test_decoding');
		insert into t values (-1, 'decoded');
		select count(*) from pg_logical_slot_get_changes('d', null, null);
		select pg_drop_replication_slot('d');
	END
	$bin/pg_basebackup -h localhost -U postgres -D backup -T /srv/demo/space=/srv/demo/backup-space -c fast -X stream || fail "pg_basebackup"
	runs <<<"alter system set work_mem = '5MB'"
	signal HUP
	await sql_has "select 1 from pg_settings where name = 'work_mem' and setting = '5120'"
	# Time for its own processes: autovacuum, the background writer, the checkpointer.
	! full || sleep 20
	# A session that is killed: all others start anew, and recover.
	sql -c "select pg_sleep(30)" >/dev/null 2>&1 &
	await sql_has "select 1 from pg_stat_activity where query like 'select pg_sleep(30)%'"
	kill -KILL "$(sql -Atc "select pid from pg_stat_activity where query like 'select pg_sleep(30)%'")"
	sleep 0.5
	await ready
	# Immediate: the next start recovers. Smart, fast.
	stop QUIT
	start $bin/postgres -D /srv/demo/data
	await ready
	if odd; then stop INT; else stop TERM; fi
	grep -rq 'redo done' data/log || fail "no recovery"
	standby
}

# A standby of a server outside of the profile: one program at a time, since what it learns goes to one file.
standby() {
	as_postgres $bin/postgres -D /srv/demo/data >>log/out 2>>log/err </dev/null &
	server=$!
	await ready
	rm -rf backup backup-space
	as_postgres $bin/pg_basebackup -h localhost -U postgres -D files/standby -T /srv/demo/space=/srv/demo/files/space -c fast -X stream -R || fail "pg_basebackup for a standby"
	start $bin/postgres -D /srv/demo/files/standby -c port=5433 -c hot_standby_feedback=on
	await sql_has "select 1 from pg_stat_replication where state = 'streaming'"
	runs <<<"create table on_both as select generate_series(1, 20000) i; checkpoint"
	await standby_has "select 1 from on_both where i = 20000"
	# It becomes a server of its own.
	[ "$(standby_sql -Atc "select pg_promote()")" = t ] || fail "not promoted"
	standby_sql -qc "insert into on_both values (0)" || fail "no server of its own"
	stop INT
}

standby_sql() { psql -h /srv/demo/files -p 5433 -U postgres -X "$@" postgres; }
standby_has() { [ "$(standby_sql -Atc "$1")" = 1 ]; }

sql_has() { [ "$(sql -Atc "$1")" = 1 ]; }
