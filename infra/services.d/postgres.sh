# shellcheck shell=bash disable=SC2034,SC2154 # infra/services reads and sets these names
# PostgreSQL from Debian: C collation, UTF-8, one superuser `postgres` without a password, on loopback only.

port_from=15432
ready_seconds_max=30
stop_signal=INT # a fast shutdown: sessions are ended, not waited for
stop_seconds_max=30

# Debian keeps the server's programs out of PATH, one folder per version.
programs() { printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

fetch() { [[ -x $(programs)/initdb ]] || packages postgresql; }

# Root may not run it: then it runs as Debian's user `postgres`, which must be able to reach the data.
as_owner() {
  if [[ $EUID -eq 0 ]]; then
    exec setpriv --reuid=postgres --regid=postgres --init-groups --reset-env "$@"
  else
    exec "$@"
  fi
}

prepare() {
  if [[ $EUID -eq 0 ]]; then
    # The checkout may lie in a folder closed to that user (a home, a mktemp): then the data goes to /var/tmp.
    if ! (as_owner test -x "$data"); then
      rmdir "$data"
      ln -s "$(mktemp -d /var/tmp/postgres.XXXXXX)" "$data"
    fi
    chown postgres: "$data"
  fi
  (cd / && as_owner "$(programs)/initdb" --pgdata="$(realpath "$data")" --username=postgres --auth=trust \
    --locale=C --encoding=UTF8 --no-sync)
}

# fsync=off: a killed server loses nothing by it, only a machine that loses power does.
serve() {
  cd /
  as_owner "$(programs)/postgres" -D "$(realpath "$data")" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=200 -c fsync=off
}

ready() { [[ $(psql "postgres://postgres@127.0.0.1:$port/postgres" -Atc 'select 1') == 1 ]]; }

address() { echo "TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres"; }
