#!/bin/sh
# Formatting, vet, staticcheck, the workflow files and go.mod.
set -eu
cd "$(dirname "$0")/.."
tool() { go tool -modfile=scripts/tools/go.mod "$@"; }

bad=$(gofmt -l cmd core e2e scenarios scripts sim)
if [ -n "$bad" ]; then
	echo "not formatted (run gofmt -w):" >&2
	echo "$bad" >&2
	exit 1
fi
go vet ./...
tool staticcheck ./...
tool actionlint
go mod tidy -diff
