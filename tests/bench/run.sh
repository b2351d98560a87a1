#!/usr/bin/env bash
# Runs the benchmark `bank`, and prints its tables. README.md says what is measured, and names the variables.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
work="${BENCH_TMP:-/var/tmp/amends-bank}" # on a disk, and PostgreSQL's own user must get there
mkdir -p "$work"
export CARGO_TARGET_DIR="$work/target"
export BENCH_DISK="${BENCH_DISK:-$(basename "$(df --output=source "$work" | tail -1)")}"
what="${BENCH_WHAT:-amends cqrs-es message-db message-db-64 umadb amends-views cqrs-es-views message-db-views umadb-views}"

pids=()
began=""
data="$(mktemp -d "$work/data.XXXXXX")"
chmod 755 "$work" "$data"
# Only what was started here is ended.
end() {
  kill -TERM "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
}
cleanup() {
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || end "$pid"; done
  [ -z "${pg:-}" ] || as_postgres "$pgbin/pg_ctl" -D "$pg" -m fast -w stop >/dev/null 2>&1 || true
  [ "${KEEP_DATA:-0}" = 1 ] || rm -rf "$data"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
say() { echo "$*" >&2; }
begin() { # begin LOG COMMAND...: in $began
  local log="$1"; shift
  "$@" >"$data/$log.log" 2>&1 &
  began=$!
  pids+=("$began")
}
up() { # up PORT
  for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0; kill -0 "$began" 2>/dev/null || break; sleep 0.1; done
  say "nothing listens on port $1; the logs:"; tail -n 20 "$data"/*.log >&2; return 1
}
wants() { [[ " $what " == *" $1 "* ]]; }
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

# --- what is measured
amends="${AMENDS:-}"
if [ -z "$amends" ]; then
  (cd "$repository" && CARGO_TARGET_DIR="$repository/target" cargo build --release --bin amends)
  amends="$repository/target/release/amends"
fi
bench="${BENCH:-}"
if [ -z "$bench" ]; then
  (cd "$here" && cargo build --release --locked ${BENCH_FEATURES:-})
  bench="$CARGO_TARGET_DIR/release/bank-bench"
fi
module="${BENCH_MODULE:-}"
if [ -z "$module" ]; then
  module="$work/modules"
  mkdir -p "$module"
  # `amends build` installs the target if it is missing.
  CARGO_TARGET_DIR="$work/guests" "$amends" build "$here/module" --release >&2
  cp "$work/guests/wasm32-wasip2/release/bank.wasm" "$module/bank.wasm"
  (cd "$here/module" && CARGO_TARGET_DIR="$work/guests" cargo build --lib --release --locked --target wasm32-wasip2 --features forgets)
  cp "$work/guests/wasm32-wasip2/release/bank.wasm" "$module/bank-forgets.wasm"
fi

# --- servers
host() { # host NAME: a host with its default settings, on a folder of its own
  begin "$1" "$amends" serve --listen 127.0.0.1:18420 --data "$data/$1"
  up 18420
  AMENDS_HOST=http://127.0.0.1:18420 "$amends" deploy "$module/bank.wasm" >/dev/null
}
pgbin="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)"
sql() { "$pgbin/psql" -h 127.0.0.1 -p 18432 -U postgres -d "${2:-postgres}" -qAtc "$1"; }
postgres() { # once
  [ -z "${pg:-}" ] || return 0
  mkdir "$data/pg"
  [ "$(id -u)" != 0 ] || chown postgres "$data/pg"
  as_postgres "$pgbin/initdb" -D "$data/pg" -A trust -U postgres >/dev/null
  pg="$data/pg"
  as_postgres "$pgbin/pg_ctl" -D "$pg" -w -l "$data/pg/log" -o "-p 18432 -k $data/pg -c listen_addresses=127.0.0.1 ${PG_EXTRA:-}" start >/dev/null
  say "postgres $(sql 'show server_version'): fsync=$(sql 'show fsync') synchronous_commit=$(sql 'show synchronous_commit')" \
    "wal_sync_method=$(sql 'show wal_sync_method') full_page_writes=$(sql 'show full_page_writes') shared_buffers=$(sql 'show shared_buffers')"
}
message_db() { # message_db DATABASE: the SQL of the npm package
  if [ ! -d "$work/package/database" ]; then
    (cd "$work" && npm pack --silent @eventide/message-db@1.3.1 >/dev/null && tar xzf eventide-message-db-1.3.1.tgz)
  fi
  PATH="$pgbin:$PATH" PGHOST=127.0.0.1 PGPORT=18432 PGUSER=postgres DATABASE_NAME="$1" bash "$work/package/database/install.sh" >/dev/null
  sql "alter database \"$1\" set search_path = message_store, public"
}
umadb="${UMADB:-$(command -v umadb || true)}"
uma() { # uma NAME
  [ -n "$umadb" ] || { say "umadb is not installed: cargo install umadb --version 0.7.8 --locked, which needs protoc"; return 1; }
  begin "$1" "$umadb" --listen 127.0.0.1:18551 --db-path "$data/$1"
  up 18551
}
store() { # store PEER DATABASE: a fresh one, in $at
  case "$1" in
    umadb) uma "$2" || return 1; at=http://127.0.0.1:18551 ;;
    message-db*) postgres; message_db "$2"; at="postgres://postgres@127.0.0.1:18432/$2" ;;
    *) postgres; sql "create database \"$2\""; at="postgres://postgres@127.0.0.1:18432/$2" ;;
  esac
}

# --- the tables
say "$(uname -sr), $(nproc) processors: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1); disk $BENCH_DISK; load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "| system | accounts | callers | commands/s | p50 ms | p99 ms | flushes a command | conflicts |"
echo "|---|---|---:|---:|---:|---:|---:|---:|"
if wants amends; then
  host commands
  "$bench" commands amends 127.0.0.1:18420
  end "$began"
fi
for peer in cqrs-es message-db message-db-64 umadb; do
  wants "$peer" && store "$peer" "$peer" || continue
  stored="$began"
  begin "$peer-server" "$bench" peer "$peer" "$at" 127.0.0.1:18480
  served="$began"
  up 18480
  "$bench" commands "$peer" 127.0.0.1:18480
  end "$served"
  [ "$peer" != umadb ] || end "$stored"
done
if wants amends-views; then
  printf '\n| system | 1,000,000 events | time | a second | |\n|---|---|---:|---:|---|\n'
  host views
  "$bench" ours 127.0.0.1:18420 "$module/bank-forgets.wasm"
  end "$began"
fi
printf '\n| system | 1,000,000 events | seconds | events/s |\n|---|---|---:|---:|\n'
for peer in cqrs-es message-db umadb; do
  wants "$peer-views" && store "$peer" "$peer-views" || continue
  views_at="$at"
  if [ "$peer" = umadb ]; then
    postgres
    sql 'create database "umadb-tables"'
    views_at=postgres://postgres@127.0.0.1:18432/umadb-tables
  fi
  "$bench" views "$peer" "$at" "$views_at"
  [ "$peer" != umadb ] || end "$began"
done
say "load at the end: $(cut -d' ' -f1-3 /proc/loadavg)"
