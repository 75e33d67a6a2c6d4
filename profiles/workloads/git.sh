# git: one alias runs a script of git commands, so that one run is one load. Git runs sh itself, for aliases and hooks.
needs="/usr/bin/git /usr/bin/python3 openssl setpriv"
packages="git python3 openssl"
about="everyday commands and their helpers, sh among them (aliases, hooks)"
versions="git dash libcurl3-gnutls zlib1g"
covers="init, clone (file, HTTP, HTTPS), add, commit, status, diff, log, blame, grep, branch, merge with and without conflict, rebase, cherry-pick, stash, tag, bisect, fetch, pull, push, gc, repack, fsck, worktree, submodule, archive, bundle, large files, address look-ups, format-patch, am, hooks, errors"
lacks="SSH, pushing over HTTP, credential helpers, signing, editors, pagers, git-lfs, git send-email"

prepare() {
	user=nobody
	mkdir work
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
	cat >web.py <<-'END'
		"""The files of a directory over HTTP, and over HTTPS one port further."""
		import functools, http.server, ssl, threading
		handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="work")
		plain, secure = [http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) for port in (8000, 8001)]
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain("cert.pem", "key.pem")
		secure.socket = context.wrap_socket(secure.socket, server_side=True)
		threading.Thread(target=plain.serve_forever).start()
		secure.serve_forever()
	END
	cat >.gitconfig <<-END
		[user]
			name = A
			email = a@localhost
		[init]
			defaultBranch = main
		[protocol "file"]
			allow = always
		[alias]
			load = !sh /srv/demo/load.sh
	END
	mkdir hooks
	printf '#!/bin/sh\necho "hook: $0" >&2\n' >hooks/pre-commit
	printf '#!/bin/sh\nwhile read -r line; do :; done\n' >hooks/pre-push
	chmod 755 hooks/*
	# Builtins of sh and git only: every other program would be part of what is learned.
	cat >load.sh <<-'END'
		set -eu
		cd /srv/demo/work
		fails() { if "$@" >/dev/null 2>&1; then echo "did not fail: $*" >&2; exit 1; fi; }
		git init -q repo
		cd repo
		i=0
		while [ $i -lt $FILES ]; do echo "line $i" >file$i; i=$((i + 1)); done
		git add .
		git commit -qm first
		echo more >>file1
		git status --short >/dev/null
		git diff >/dev/null
		git diff --stat --cached >/dev/null
		git commit -qam second
		git log --stat --graph -p >/dev/null
		git blame file1 >/dev/null
		git grep -q line
		git show HEAD~1 >/dev/null
		git describe --always >/dev/null
		git shortlog -s HEAD >/dev/null
		big="line of text
		"
		i=0
		while [ $i -lt 17 ]; do big=$big$big; i=$((i + 1)); done
		printf '%s' "$big" >big
		git add big
		git commit -qm big
		echo last >>big
		git commit -qam bigger
		git log -p -2 big >/dev/null
		git blame big >/dev/null
		git checkout -qb side
		echo side >file2
		git commit -qam side
		git mv file3 moved
		git commit -qm moved
		git checkout -q main
		echo main >file4
		git commit -qam main
		git merge -q -m merged side
		git checkout -qb clash HEAD~1
		echo clash >file2
		git commit -qam clash
		fails git merge side
		git merge --abort
		git checkout -q main
		fails git cherry-pick clash
		git cherry-pick --abort
		git checkout -qb based HEAD~1
		echo based >new
		git add new
		git commit -qm based
		git rebase -q main
		git cherry-pick -x HEAD~1 --allow-empty --keep-redundant-commits -m 1 >/dev/null
		echo stashed >>file5
		git stash -q
		git stash pop -q
		git checkout -q -- file5
		git tag -a -m tagged v1
		git archive --format=tar.gz -o ../a.tar.gz HEAD
		git bundle create -q ../b.bundle --all
		git format-patch -q -o ../patches based~2..based~1
		git checkout -q main
		git am -q ../patches/0001-based.patch
		echo junk >junk
		git clean -qfdx
		git rm -q file6
		git restore --staged --worktree file6
		git worktree add -q ../tree side
		git worktree list >/dev/null
		git worktree remove ../tree
		git bisect start HEAD HEAD~4 >/dev/null
		git bisect run sh -c 'exit 0' >/dev/null
		git bisect reset >/dev/null 2>&1
		git reflog >/dev/null
		git rev-list --count --all >/dev/null
		git repack -adq
		git prune
		git gc -q --aggressive
		git commit-graph write --reachable --no-progress
		git maintenance run --auto
		git fsck --strict >/dev/null 2>&1
		git count-objects -v >/dev/null
		cd ..
		git clone -q --bare repo bare.git
		git -C bare.git update-server-info
		git clone -q file:///srv/demo/work/bare.git copy
		git clone -q --depth 1 file:///srv/demo/work/bare.git shallow
		git clone -q --local repo local
		git clone -q http://web.test:8000/bare.git web
		git -c http.sslVerify=false clone -q https://web.test:8001/bare.git secure
		cd copy
		echo pushed >pushed
		git add .
		git -c core.hooksPath=/srv/demo/hooks commit -qm pushed 2>/dev/null
		git -c core.hooksPath=/srv/demo/hooks push -q
		git push -q --tags
		git -C ../bare.git update-server-info
		cd ../web
		git fetch -q
		git pull -q --rebase
		[ -e pushed ]
		cd ../shallow
		git fetch -q --unshallow
		git submodule --quiet add file:///srv/demo/work/bare.git sub
		git commit -qm sub
		git submodule --quiet update --init --remote
		git submodule --quiet foreach 'git status -s'
		git update-index --untracked-cache
		fails git clone http://127.0.0.1:8000/missing.git
		fails git clone file:///missing
		fails git checkout missing
		fails git fetch http://127.0.0.1:9/x.git
		cd /
		fails git status
		exit 7
	END
	chown -R nobody work .gitconfig key.pem
}

work() {
	local files=20 status=0 web
	! full || files=400
	setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups \
		/usr/bin/python3 -I web.py >log/web 2>&1 & web=$! server=$!
	await port 8001
	name_server
	export FILES=$files
	under /usr/bin/git load || status=$?
	[ "$status" = 7 ] || fail "ended with $status"
	kill "$web"
}
