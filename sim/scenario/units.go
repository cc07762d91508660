package scenario

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of what a scenario can ask for. They keep sums of times and rates
// far from overflow; none is a limit of the emulator.
const (
	maxRate = 100e9 // bit/s
	maxTime = 24 * time.Hour
	maxSize = 1 << 40 // bytes
)

var quantityPattern = regexp.MustCompile(`^([+-]?)([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([^0-9\s].*)?$`)

// quantity splits "50mbit" into a number and its unit, in lower case.
func quantity(s string) (number float64, unit string, err error) {
	m := quantityPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, "", errors.New("is not a number with a unit")
	}
	if m[1] == "-" {
		return 0, "", errors.New("cannot be negative")
	}
	number, err = strconv.ParseFloat(m[2], 64)
	if err != nil || math.IsInf(number, 0) {
		return 0, "", errors.New("is too large a number")
	}
	return number, strings.ToLower(m[3]), nil
}

var rateUnits = map[string]float64{"": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}

// parseRate reads bit/s.
func parseRate(s string) (float64, error) {
	const want = "must be a rate in bit/s, such as 800kbit, 50mbit or 1gbit"
	n, unit, err := quantity(s)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, want)
	}
	scale, ok := rateUnits[unit]
	if !ok {
		return 0, errors.New(want)
	}
	switch rate := n * scale; {
	case rate < 1:
		return 0, errors.New("must be above 0")
	case rate > maxRate:
		return 0, errors.New("must be at most 100gbit")
	default:
		return rate, nil
	}
}

var timeUnits = []string{"ns", "us", "µs", "ms", "s", "m", "h"}

// parseTime reads a time that is not negative.
func parseTime(s string) (time.Duration, error) {
	const want = "must be a time, such as 10ms, 1.5s or 300us"
	n, unit, err := quantity(s)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, want)
	}
	switch {
	case unit == "" && n == 0:
		return 0, nil
	case unit == "":
		return 0, fmt.Errorf("has no unit: %s", want)
	}
	text := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	d, err := time.ParseDuration(text)
	if err != nil || !startsWithAny(unit, timeUnits) {
		return 0, errors.New(want)
	}
	if d > maxTime {
		return 0, errors.New("must be at most 24h")
	}
	return d, nil
}

func startsWithAny(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// parseShare reads a percentage as a share of 1.
func parseShare(s string) (float64, error) {
	const want = "must be a percentage from 0% to 100%"
	n, unit, err := quantity(s)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, want)
	}
	switch {
	case unit == "" && n == 0:
		return 0, nil
	case unit == "":
		return 0, fmt.Errorf("has no %%: %s", want)
	case unit != "%" || n > 100:
		return 0, errors.New(want)
	}
	return n / 100, nil
}

var sizeUnits = map[string]float64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

// parseSize reads a number of bytes.
func parseSize(s string) (int64, error) {
	const want = "must be a size, such as 1500B, 64KiB or 10MB"
	n, unit, err := quantity(s)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, want)
	}
	scale, ok := sizeUnits[unit]
	if !ok {
		return 0, errors.New(want)
	}
	size := n * scale
	if size < 1 || size > maxSize {
		return 0, errors.New("must be from 1B to 1TiB")
	}
	return int64(size), nil
}

// parseQueue reads the bound of a queue: a time, bytes or packets.
func parseQueue(s string) (Queue, error) {
	const want = "must be a time (100ms), bytes (64KiB) or packets (100p)"
	n, unit, err := quantity(s)
	if err != nil {
		return Queue{}, fmt.Errorf("%w: %s", err, want)
	}
	switch {
	case unit == "p":
		if n < 1 || n > 1e6 || n != math.Trunc(n) {
			return Queue{}, errors.New("must be from 1p to 1000000p")
		}
		return Queue{Packets: int(n)}, nil
	case unit == "":
		return Queue{}, fmt.Errorf("has no unit: %s", want)
	case sizeUnits[unit] != 0:
		size, err := parseSize(s)
		if err == nil && size > 1<<30 {
			err = errors.New("must be at most 1GiB")
		}
		return Queue{Bytes: int(size)}, err
	}
	d, err := parseTime(s)
	if err != nil {
		return Queue{}, errors.New(want)
	}
	if d == 0 || d > time.Minute {
		return Queue{}, errors.New("must be above 0 and at most 1m")
	}
	return Queue{Time: d}, nil
}
