# What the benchmarks share: a release build, a server to measure, a result file. Sourced with the name of the result; sets $work,
# $bulla and $url. Everything printed goes to bench/results/NAME.txt too.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=${1:-$(date -u +%Y-%m-%d)}
result=$PWD/bench/results/$name.txt
work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/bulla-bench.XXXXXX")
url=http://127.0.0.1:4300
server=
trap 'kill -9 ${server:-} ${nginx:-} 2>/dev/null; rm -rf "$work"' EXIT

cargo build --release --quiet
bulla=$work/bulla
cp target/release/bulla "$bulla"
exec > >(tee "$result") 2>&1

title() { printf '\n== %s\n' "$*"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
start() { # DIR [OPTION…]: starts a server, waits until it answers, and says how long that took
  local began dir=$1; began=$(now); shift
  "$bulla" serve --data "$dir" --http 127.0.0.1:4300 --grpc off --metrics off --write-limit 0 --log-level error "$@" >"$work/out" 2>&1 &
  server=$!
  until curl -sf "$url/healthz" >/dev/null; do
    kill -0 "$server" || { cat "$work/out"; exit 1; }
    sleep 0.01
  done
  took=$(since "$began")
}
stop() { kill "${1:--TERM}" "$server"; wait "$server" 2>/dev/null || true; server=; }
resident() { awk '/VmRSS/ { printf "%.1f MB", $2 / 1024 }' "/proc/$server/status"; }
write() { "$bulla" bench write "$url" --pid "$server" --disk "$work" "$@"; }
read_() { "$bulla" bench read "$url" --pid "$server" "$@"; }
last() { grep -E "^(answered|refused|latency|server CPU|ratio)"; }

# processes COUNT LABEL COMMAND ARGUMENT…: the median and the slowest tenth of so many processes, one after another.
processes() {
  python3 - "$@" <<'PYTHON'
import os, sys, time
count, label, *words = sys.argv[1:]
quiet, took = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)], []
for _ in range(int(count)):
    began = time.perf_counter()
    _, status = os.waitpid(os.posix_spawnp(words[0], words, os.environ, file_actions=quiet), 0)
    took.append((time.perf_counter() - began) * 1000)
    assert status == 0, f"{label} ended with {status}"
took.sort()
print(f"{label:<11} p50 {took[len(took) // 2]:.2f} ms, p90 {took[len(took) * 9 // 10]:.2f} ms")
PYTHON
}

title "machine"
echo "date        $(date -u +%FT%TZ)"
echo "commit      $(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ' with changes')"
echo "disk        $(df -PT "$work" | awk 'NR == 2 { print $1, $2 }'); journal: direct writes, one fdatasync a commit"
echo "load before $(cut -d' ' -f1-3 /proc/loadavg)"
