#!/usr/bin/env bash
# The micro benchmarks of the work tree against those of the last commit, by
# benchstat. Both are run in turn, package by package, so that what disturbs one
# disturbs the other.
#
#   bash bench/micro.sh                        everything, six times
#   COUNT=10 BENCH=Broadcast bash bench/micro.sh ./actor
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

BENCHSTAT=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
count=${COUNT:-6}
pattern=${BENCH:-.}
packages=("$@")
((${#packages[@]})) || packages=(./codec ./transport ./actor)

dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/last" 2>/dev/null; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/last" HEAD

for p in "${packages[@]}"; do
  name=${p//[.\/]/_}
  go test -c -o "$dir/new$name" "$p"
  (cd "$dir/last" && go test -c -o "$dir/old$name" "$p")
  for ((i = 1; i <= count; i++)); do
    for side in old new; do
      echo "$p $side $i/$count" >&2
      (cd "$p" && "$dir/$side$name" -test.run '^$' -test.bench "$pattern" -test.benchtime "${BENCHTIME:-200ms}" -test.benchmem) >>"$dir/$side.txt"
    done
  done
done
go run "$BENCHSTAT" last="$dir/old.txt" tree="$dir/new.txt"
