#!/usr/bin/env bash
# learn.sh [--runs N] [--seccomp-run FILE] NAME...: makes profiles/NAME.json and its evidence anew, as root, on the machine
# as it is: learns the load of workloads/NAME.sh in N rounds (4), applies the review, says in the profile's comment what was
# done, and holds the result to `check`. Without a NAME: all of them.
#
# The review is a list of rules. Each takes its names out of what was learned, and stands in their place with its reason:
# it allows them on purpose, with fewer arguments, or not at all. workloads/NAME.review.json is that of one profile: a name
# in it that was not learned is an error. workloads/review.json holds for every profile that has learned its names and has
# no rule of its own for them, but for rules that are marked to stand "beside" it.
set -euo pipefail

runs=4 ours=
while [ $# -gt 0 ]; do
	case $1 in
	--runs) runs=$2; shift 2 ;;
	--seccomp-run) ours=$(realpath -- "$2"); shift 2 ;;
	-*) sed -n '2,/^#$/s/^# //p' "$0" >&2; exit 2 ;;
	*) break ;;
	esac
done
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ -z "$ours" ]; then
	cargo build --release
	ours=$(ls ../target/*/release/seccomp-run)
fi
[ $# -gt 0 ] || set -- $(cd workloads && ls -- *.sh | sed 's/\.sh$//')

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The versions of these Debian packages, in words.
versions_of() { dpkg-query -W -f '${Package} ${Version}\n' "$@" | paste -sd, | sed 's/,/, /g'; }

# Debian 12, say.
distribution() { (. /etc/os-release && echo "${NAME%% *} $VERSION_ID"); }

learn() {
	local name=$1 dir=$scratch/$1 round program packages about covers lacks versions needs
	# shellcheck source=/dev/null
	. "./workloads/$name.sh"
	for program in $needs jq; do
		command -v "$program" >/dev/null || { echo "learn.sh: $name needs $program (Debian: $packages jq)" >&2; return 1; }
	done
	mkdir "$dir"
	# The program may run as another user, and its launcher with it.
	chmod 777 "$scratch" "$dir"
	install -m 755 "$ours" "$dir/seccomp-run"
	# What one round has built, the next need not.
	mkdir "$dir/cache"
	for ((round = 1; round <= runs; round++)); do
		ROUND=$round bash workload.sh "$name" "$dir" \
			/srv/out/seccomp-run --learn --update --portable --strict -o "/srv/out/$name.json" --
	done
	local review=workloads/$name.review.json comment
	[ -e "$review" ] || { echo '[]' >"$dir/none"; review=$dir/none; }
	comment="$name: $about. Learned from workloads/$name.sh by learn.sh on $(date -u +%F) in $runs rounds ($(jq '.runs | length' "$dir/$name.evidence.json") runs), and reviewed;"
	comment+=" $(distribution), $(versions_of ${versions-} libc6), Linux $(uname -r | cut -d. -f1,2) on $(uname -m)."
	comment+=" With --portable: variants that other versions of kernel and libc use are allowed too. Shown: $covers. Not shown: $lacks."
	jq --arg comment "$comment" --slurpfile own "$review" --slurpfile all workloads/review.json '
		($own[0] | map(select(.beside | not) | .names[]) | unique) as $decided
		| ([.syscalls[].names[]]) as $learned
		| ($own[0] | map(.names[]) | unique - $learned) as $idle
		| if $idle != [] then error("the review names what was not learned: \($idle | join(" "))") else . end
		| (($own[0] | map(del(.beside))) + [$all[0][] | select(.names - $decided != [] and .names - $learned == [])]) as $review
		| ($review | map(.names[]) | unique) as $names
		| .comment = $comment
		| .syscalls |= (map(.names -= $names | select(.names != [])) + $review)
	' "$dir/$name.json" >"$dir/reviewed.json"
	"$ours" merge --strict "$dir/reviewed.json" >"$name.json.new"
	mv "$name.json.new" "$name.json"
	cp "$dir/$name.evidence.json" "$name.evidence.json.new"
	mv "$name.evidence.json.new" "$name.evidence.json"
	"$ours" check "$name.json"
}

for name in "$@"; do
	# In a shell of its own: what one workload says of itself is not the next one's.
	(learn "$name")
done
