#!/usr/bin/env bash
# Installs what building, testing and the demo need and this machine does not have, and nothing
# else: Debian/Ubuntu packages through apt-get, Python clients into .venv, those of Node into
# tests/clients/node/node_modules. Starts no service.
#
# usage: scripts/setup.sh build|test|demo|stack|bench
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-test}

have() { command -v "$1" >/dev/null 2>&1; }
have_rabbitmq() { compgen -G '/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server' >/dev/null; }
# Debian's python3 without python3-venv has the module but cannot make an environment with pip.
have_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

have_ruby() { ruby -e 'require ARGV.first' "$1" >/dev/null 2>&1; }

missing=()
need() { # need PACKAGE CHECK...
    local package=$1
    shift
    "$@" || missing+=("$package")
}

need gcc have cc
need libc6-dev test -e /usr/include/stdlib.h
if [ "$purpose" != build ]; then
    need redis-server have redis-server
    need redis-tools have redis-cli
    need python3-venv have_venv
    need curl have curl
fi
if [ "$purpose" = test ]; then
    need redis-sentinel have redis-sentinel
    need rabbitmq-server have_rabbitmq
    need chromium have chromium
    need faketime have faketime
    need nodejs have node
    need npm have npm
    need jq have jq
    need systemd have systemd-analyze
    need ruby-sidekiq have sidekiq
    need ruby-redis-namespace have_ruby redis-namespace
fi
if [ "$purpose" = test ] || [ "$purpose" = stack ]; then
    need prometheus have promtool
    need prometheus-alertmanager have amtool
fi
if [ "$purpose" = bench ]; then
    need prometheus-redis-exporter have prometheus-redis-exporter
    need rabbitmq-server have_rabbitmq
fi

# Packages that bring a service: it must neither start now nor at the next boot.
services=(redis-server redis-sentinel rabbitmq-server prometheus prometheus-alertmanager
    prometheus-redis-exporter)

install_missing() {
    have apt-get || {
        echo "setup: please install: ${missing[*]} (this script knows apt-get only)" >&2
        exit 1
    }
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
        "${root[@]}" chmod 755 "$policy"
        # shellcheck disable=SC2064 # expanded now: the values are gone when the trap runs
        trap "${root[*]} rm -f $policy" EXIT
    fi
    echo "setup: installing ${missing[*]}"
    "${root[@]}" apt-get -qq update
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y install --no-install-recommends "${missing[@]}" >/dev/null
    if have systemctl; then
        local package service
        for package in "${missing[@]}"; do
            for service in "${services[@]}"; do
                [ "$package" != "$service" ] || "${root[@]}" systemctl -q disable "$service" || true
            done
        done
    fi
}

if [ ${#missing[@]} -gt 0 ]; then
    install_missing
fi

if ! have cargo; then
    echo "setup: cargo not found: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (rustup.rs)" >&2
    exit 1
fi
if [ "$purpose" = test ]; then
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 && continue
        case $component in fmt) component=rustfmt ;; esac
        have rustup && rustup component add "$component" && continue
        echo "setup: cargo $component is missing: install it (rustup component add, or Debian's rustfmt and rust-clippy)" >&2
        exit 1
    done
fi

[ "$purpose" != build ] || exit 0

stamp=.venv/stamp-$(cat tests/clients/requirements*.txt | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    echo "setup: Python clients into .venv"
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check -r tests/clients/requirements.txt
    for other in rq2 arq api kubernetes; do
        .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps \
            --target ".venv/$other" -r "tests/clients/requirements-$other.txt"
    done
    touch "$stamp"
fi

[ "$purpose" = test ] || exit 0

# No install scripts: the lock file leaves out the optional native module that would need one.
node=tests/clients/node
stamp=$node/node_modules/.stamp-$(sha256sum <$node/package-lock.json | cut -c1-16)
if [ ! -e "$stamp" ]; then
    echo "setup: Node clients into $node/node_modules"
    (cd $node && npm ci --silent --no-audit --no-fund --ignore-scripts --prefer-offline)
    touch "$stamp"
fi
