#!/bin/sh
# Checks that Go is here and new enough, and says what to do where it is not.
# `go` itself fetches a newer toolchain when it may; this is for where it cannot.
set -eu
cd "$(dirname "$0")/.."
want=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
if ! command -v go >/dev/null 2>&1; then
	echo "Go is not installed. Multilink needs Go $want or newer: see https://go.dev/doc/install" >&2
	exit 3
fi
if ! have=$(GOTOOLCHAIN=local go env GOVERSION 2>&1); then
	have=$(printf '%s' "$have" | sed -n 's/.*running go \([0-9.]*\).*/go\1/p')
fi
oldest=$(printf '%s\n%s\n' "$want" "${have#go}" | sort -V | head -n 1)
if [ "$oldest" != "$want" ]; then
	echo "This is ${have:-an unknown Go}. Multilink needs Go $want or newer: see https://go.dev/doc/install" >&2
	exit 3
fi
