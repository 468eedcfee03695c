# shellcheck shell=bash
# Debian packages, fetched only when something is missing. Sourced by infra/test and infra/services.

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# packages NAME…  installs them. The package lists are renewed at most once per run, also across child scripts.
# Debian may start a service of its own on its usual port after this; ours run on other ports, so neither minds.
packages() {
  printf 'installing %s\n' "$*" >&2
  if [[ -z ${APT_LISTS_FRESH:-} ]]; then
    apt_get update
    export APT_LISTS_FRESH=1
  fi
  apt_get install --yes --no-install-recommends "$@"
}

# Speaks only when it fails.
apt_get() {
  local said
  said=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" 2>&1 </dev/null) || die "apt-get $*: $said"
}

# program COMMAND PACKAGE…  makes sure that COMMAND can be run.
program() {
  command -v "$1" >/dev/null || packages "${@:2}"
  command -v "$1" >/dev/null || die "$1 is missing although installed: ${*:2}"
}
