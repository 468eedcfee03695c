# This chat server as a peer of the load generator: one node on its embedded default, sourced by its `run`.
# CHAT_BENCH_ARGS adds settings, such as "--sync 50ms". DAPANDA_ROOT is the project's folder.
one_node_only=1
root=${DAPANDA_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
bin=${DAPANDA_BIN:-$root/target/release}
build() { CARGO_TARGET_DIR=$root/target cargo build --release --manifest-path "$root/Cargo.toml" -p chat-server -p loadtest; }
start() {
  local dir=$work/dapanda
  rm -rf "$dir"
  mkdir -p "$dir"
  "$bin/loadtest" key --folder "$dir"
  # shellcheck disable=SC2086
  spawn dapanda "$bin/chat-server" --listen 127.0.0.1:18111 --admin-listen 127.0.0.1:18112 \
    --store "file:$dir/chat" --jwks "file:$dir/jwks.json" --sends-per-second 0 --log warn ${CHAT_BENCH_ARGS:-}
  PIDS=("$SPAWNED")
  wait_port 18111 && wait_port 18112
  "$bin/loadtest" prepare --server http://127.0.0.1:18112 --folder "$dir" --rooms 500 --members 20
  URLS=(ws://127.0.0.1:18111/conn)
  LOAD=(--auth-file "$dir/auth.txt" --room-names "$dir/rooms.txt" --sub '/sub/{room}' --send '/pub/{room}'
    --body '{"message":"{marker}"}')
}
