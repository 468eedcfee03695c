# This chat server as a peer of the load generator, sourced by its `run`. DAPANDA_ROOT is the project's folder.
#   one node:  on its embedded default; CHAT_BENCH_ARGS adds settings, such as "--sync 50ms"
#   two nodes: with Redis between them and one CQL server (Apache Cassandra, infra/services) as their store
# With two nodes CHAT_BENCH_BUS says whose CPU the column of the bus shows: redis (default) or store.
root=${DAPANDA_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
bin=${DAPANDA_BIN:-$root/target/dist}

build() { CARGO_TARGET_DIR=$root/target cargo build --profile dist --manifest-path "$root/Cargo.toml" -p chat-server -p loadtest; }

start_store() {
  local services=$work/services
  SERVICES_DIR=$services "$root/infra/services" up cassandra >"$work/logs/cassandra.log" 2>&1 || return 1
  read -r store_pid _ <"$services/cassandra/pid"
  STARTED+=("$store_pid")
  store=$(sed -n 's/^TEST_CQL=//p' "$services/env")
}

start() {
  local dir=$work/dapanda n shared=()
  rm -rf "$dir"
  mkdir -p "$dir"
  "$bin/loadtest" key --folder "$dir"
  shared=(--store "file:$dir/chat")
  if [ "$1" -gt 1 ]; then
    start_redis && start_store || return 1
    [ "${CHAT_BENCH_BUS:-redis}" = redis ] || BUS=("$store_pid")
    shared=(--store "scylla://$store/bench_$$" --scylla-replication 1 --bus "redis://127.0.0.1:$redis_port")
  fi
  for n in $(seq "$1"); do
    # shellcheck disable=SC2086
    spawn "dapanda-$n" "$bin/chat-server" --listen 127.0.0.1:1811$n --admin-listen 127.0.0.1:1812$n \
      "${shared[@]}" --jwks "file:$dir/jwks.json" --sends-per-second 0 --member-connections-max 100000 --log warn ${CHAT_BENCH_ARGS:-}
    PIDS+=("$SPAWNED")
    wait_port 1811$n && wait_port 1812$n
    URLS+=(ws://127.0.0.1:1811$n/conn)
  done
  "$bin/loadtest" prepare --server http://127.0.0.1:18121 --folder "$dir" --rooms 500 --members 20
  LOAD=(--auth-file "$dir/auth.txt" --room-names "$dir/rooms.txt" --sub '/sub/{room}' --send '/pub/{room}'
    --body '{"message":"{marker}"}')
}
