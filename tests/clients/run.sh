#!/bin/bash
# Runs the clients of others against a cluster of the given program. What they need
# beyond Debian's packages is made once, in the user's cache folder: a Python
# environment, node_modules, and what is compiled. Usage: run.sh WARREN [NAME...]
set -euo pipefail
cd "$(dirname "$0")"

WARREN=$(realpath "$1")
export WARREN
shift
wanted=$(cat requirements.txt node/package.json go/main.go java/Work.java rust/Cargo.lock rust/src/main.rs run.sh | sha256sum | cut -c1-12)
built=${XDG_CACHE_HOME:-$HOME/.cache}/warren/clients-$wanted

# Made under another name first: an interrupted one is not taken for whole.
if [[ ! -d $built ]]; then
    echo "making the clients in $built"
    new=$built.new
    rm -rf "$new"
    mkdir -p "$new"
    python3 -m venv "$new/venv"
    "$new/venv/bin/python3" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    # Nothing of it runs a program when it is installed.
    cp node/package.json "$new/"
    (cd "$new" && npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock)
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$new/go-cache" GOFLAGS= go build -o "$new/go-work" go/main.go
    rm -rf "$new/go-cache"
    CARGO_TARGET_DIR=$new/rust cargo build --release --locked --quiet --manifest-path rust/Cargo.toml
    mv "$new/rust/release/lapin-work" "$new/"
    rm -rf "$new/rust"
    javac -cp /usr/share/java/amqp-client.jar -d "$new" java/Work.java
    mv "$new" "$built"
fi
"$built/venv/bin/python3" run.py "$built" "$@"
