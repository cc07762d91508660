package underlay

const (
	// maxRun bounds the datagrams of one message: UDP_MAX_SEGMENTS is 64 in
	// kernels before 6.9, and 128 since.
	maxRun = 64
	// maxRunBytes bounds the bytes of one message. The kernel takes 65,507,
	// but silently splits a run of exactly that many.
	maxRunBytes = 65000
)

// runLen is the number of bytes that one message takes of data made of
// datagrams of segment bytes.
func runLen(data, segment int) int {
	run := min(maxRun, max(1, maxRunBytes/segment)) * segment
	return min(run, data)
}

// datagrams is the number of datagrams of segment bytes in so many bytes.
func datagrams(bytes, segment int) uint64 {
	return uint64((bytes + segment - 1) / segment)
}

// segmentOf returns a segment size that is not 0: no segment means that data,
// which is not empty, is one datagram.
func segmentOf(data []byte, segment int) int {
	if segment <= 0 || segment > len(data) {
		return len(data)
	}
	return segment
}
