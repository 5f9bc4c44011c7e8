#!/usr/bin/env bash
# What the Dockerfile promises, shown without a container engine: the static binary runs in a
# read-only root that holds nothing but itself and the certificate authorities, as a user that has
# no name, reads a Redis, answers, and stops at SIGTERM. Needs root for chroot and mount.
#
# usage: scripts/check-image.sh path/to/static/tailback
set -euo pipefail
binary=$(realpath "$1")
[ "$(id -u)" = 0 ] || {
    echo "check-image: needs root" >&2
    exit 1
}
root=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$root" "$root.log" "$root.metrics"
}
trap cleanup EXIT

fail() {
    echo "check-image: $*" >&2
    [ ! -e "$root.log" ] || cat "$root.log" >&2
    exit 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

mkdir -p "$root/etc/ssl/certs"
cp "$binary" "$root/tailback"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
chmod -R go+rX "$root"

redis_port=$(free_port)
redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --dir /tmp >/dev/null &
pids+=($!)
until redis-cli -p "$redis_port" PING >/dev/null 2>&1; do sleep 0.05; done
redis-cli -p "$redis_port" SADD rq:queues rq:queue:mail >/dev/null
redis-cli -p "$redis_port" RPUSH rq:queue:mail job >/dev/null

port=$(free_port)
# Everything before tailback is replaced by what comes after it, so that it has the pid of the job.
in_image=(unshare --mount sh -c '
    root=$1
    shift
    mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" || exit 1
    exec env -i "$(command -v chroot)" --userspec=65532:65532 "$root" /tailback "$@"
' sh "$root")
"${in_image[@]}" run "redis://127.0.0.1:$redis_port/0" --listen "127.0.0.1:$port" 2>"$root.log" &
tailback=$!
pids+=("$tailback")
for _ in $(seq 100); do
    "${in_image[@]}" check --self --listen "127.0.0.1:$port" 2>/dev/null && break
    sleep 0.1
done
"${in_image[@]}" check --self --listen "127.0.0.1:$port" || fail "the health check fails"

status=$(cat "/proc/$tailback/status")
grep -qE '^Uid:\s+65532\s+65532' <<<"$status" || fail "does not run as 65532"
# As the process sees it, its root is mounted at `/`, read-only.
grep -qE '^([^ ]+ ){4}/ ro[ ,]' "/proc/$tailback/mountinfo" || fail "its root can be written to"
for _ in $(seq 100); do
    curl -fs "http://127.0.0.1:$port/metrics" >"$root.metrics"
    grep -q 'queue="mail",state="ready"} 1$' "$root.metrics" && break
    sleep 0.1
done
grep -q 'queue="mail",state="ready"} 1$' "$root.metrics" || fail "does not see the queue"

kill -TERM "$tailback"
wait "$tailback" || fail "did not stop well at SIGTERM"
echo "check-image: ok, $(stat -c %s "$binary") bytes, alone in a read-only root as user 65532"
