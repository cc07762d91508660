#!/bin/sh
# Captures the traffic of applications in namespaces of its own and packs it:
#   ./run.sh [APPLICATION...]
# Needs root, tcpdump and the programs that ../README.md names.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/generate" .
[ $# -gt 0 ] || set -- ffmpeg-opus ffmpeg-pcm gstreamer-vp8 gstreamer-h264 sipp-pcmu webrtc turn-opus \
	dns quic utp wireguard openvpn srt mosh iperf3 webrtc-data raknet game kcp random esp
for app; do
	only=
	case $app in
	ffmpeg-*|gstreamer-*|turn-opus) only=media ;;
	sipp-pcmu) only=sip ;;
	webrtc|webrtc-data|openvpn) only=long ;;
	esac
	QUIC_GO_DISABLE_GSO=1 unshare --net --mount sh -eu -c '
		ip link set lo up
		tcpdump -q -i lo -s 96 -B 8192 -U -w "$1/pcap" udp 2>/dev/null & tcpdump=$!
		sleep 1
		"$1/generate" "$2" || true
		sleep 1
		kill -INT $tcpdump; wait $tcpdump || true' sh "$bin" "$app"
	ONLY=$only "$bin/generate" pack "$bin/pcap" "../$app.gz"
done
