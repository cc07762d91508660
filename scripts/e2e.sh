#!/bin/sh
# Runs the ginkgo suite with the binaries in bin/: scripts/e2e.sh [ginkgo flags].
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "The end-to-end tests make network namespaces and need root: run" >&2
	echo "    sudo env \"PATH=\$PATH\" make e2e" >&2
	exit 3
fi
exec go tool -modfile=scripts/tools/go.mod ginkgo run --timeout "${E2E_TIMEOUT:-40m}" --poll-progress-after 120s "$@" ./e2e
