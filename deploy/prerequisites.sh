#!/bin/bash
# Installs the Debian packages that Warren needs, only those that are missing,
# and says which. Usage: prerequisites.sh build|python|clients|drills|rabbitmq
set -euo pipefail

what=${1:-build}
missing=()

# need COMMAND PACKAGE: the package, if the command is not there.
need() {
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

case $what in
build)
    need make make
    need g++ g++
    # bindgen, for RocksDB's header: any libclang will do.
    if [[ -z ${LIBCLANG_PATH:-} ]] && ! compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
        ! compgen -G '/usr/lib/*/libclang*.so*' >/dev/null; then
        missing+=(libclang-dev)
    fi
    ;;
python)
    need python3 python3
    need openssl openssl
    [[ -x /usr/sbin/haproxy ]] || need haproxy haproxy
    # Debian splits what `python3 -m venv` needs off.
    if ! command -v python3 >/dev/null 2>&1 || ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        missing+=(python3-venv)
    fi
    ;;
clients)
    need python3 python3
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
    need node nodejs
    need npm npm
    need go golang-go
    need javac default-jdk-headless
    need php php-cli
    need ruby ruby
    need amqp-publish amqp-tools
    [[ -d /usr/share/gocode/src/github.com/rabbitmq/amqp091-go ]] || missing+=(golang-github-rabbitmq-amqp091-go-dev)
    [[ -e /usr/share/java/amqp-client.jar ]] || missing+=(librabbitmq-client-java)
    [[ -e /usr/share/php/PhpAmqpLib/autoload.php ]] || missing+=(php-amqplib)
    [[ -d /usr/share/rubygems-integration/all/gems/bunny-2.19.0 ]] || missing+=(ruby-bunny)
    ;;
drills)
    need ip iproute2
    need nft nftables
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
    ;;
rabbitmq)
    [[ -x /usr/sbin/rabbitmq-server || -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || missing+=(rabbitmq-server)
    ;;
*)
    echo "usage: $0 build|python|clients|drills|rabbitmq" >&2
    exit 2
    ;;
esac

if ((${#missing[@]})); then
    echo "installing from Debian: ${missing[*]}"
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "this is no Debian machine: please install ${missing[*]} (or what they are called here)" >&2
        exit 1
    fi
    root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null 2>&1 || {
            echo "please run as root: apt-get install ${missing[*]}" >&2
            exit 1
        }
        root=(sudo)
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${root[@]}" apt-get update -qq
    "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [[ $what == build ]] && ! command -v cargo >/dev/null 2>&1; then
    echo "there is no Rust toolchain: see https://rustup.rs, then try again" >&2
    exit 1
fi
