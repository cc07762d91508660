package underlay

import "time"

// maxAge is how long a message may have waited in its socket; what is beyond
// it, or negative, is a step of the wall clock.
const maxAge = time.Second

// age is how long a message waited that the kernel received at at (0: not
// known) and that was read at now.
func age(at, now int64) time.Duration {
	if waited := time.Duration(now - at); at != 0 && waited > 0 && waited < maxAge {
		return waited
	}
	return 0
}

// wallClock is the clock of the kernel's times of arrival, in ns since 1970.
func wallClock() int64 { return time.Now().UnixNano() }
