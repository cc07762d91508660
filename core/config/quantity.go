package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Quantities are written as strings with a unit: a bare number does not say of
// what it is one. "none" is no limit, and zero here.

// none is what a limit that is not there is called.
const none = "none"

// unit is a multiple that a quantity can be given in.
type unit struct {
	name   string
	factor float64
}

var (
	rateUnits   = []unit{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}}
	volumeUnits = []unit{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}
	shareUnits  = []unit{{"%", 0.01}}
)

// Bounds of quantities. A link below minRate has no room for its own reports.
const (
	minRate   = 16e3
	maxRate   = 1e12
	minVolume = 1e6
	maxVolume = 1e15
	maxRTT    = time.Minute
)

// quantity reads a number with one of the units, or "none".
func quantity(units []unit, low, high float64, want string) func(any) (float64, error) {
	return func(v any) (float64, error) {
		s, ok := v.(string)
		if !ok {
			return 0, errors.New(want)
		}
		if s == none {
			return 0, nil
		}
		for _, u := range units {
			number, ok := strings.CutSuffix(s, u.name)
			if !ok {
				continue
			}
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if n *= u.factor; err != nil || math.IsNaN(n) || n < low || n > high {
				return 0, errors.New(want)
			}
			return n, nil
		}
		return 0, errors.New(want)
	}
}

var (
	rate = quantity(rateUnits, minRate, maxRate,
		`must be a rate from 16 kbit/s on, such as "20 Mbit/s" (bit/s, kbit/s, Mbit/s, Gbit/s), or "none"`)
	share = quantity(shareUnits, 0.001, 1, `must be a share from 0.1 % to 100 %, such as "5 %", or "none"`)
)

// volume reads an amount of data in bytes.
func volume(v any) (uint64, error) {
	n, err := quantity(volumeUnits, minVolume, maxVolume,
		`must be an amount of data from 1 MB on, such as "10 GB" (kB, MB, GB, TB), or "none"`)(v)
	return uint64(n), err
}

// roundTrip reads a time limit.
func roundTrip(v any) (time.Duration, error) {
	s, _ := v.(string)
	if s == none {
		return 0, nil
	}
	d, err := time.ParseDuration(strings.ReplaceAll(s, " ", ""))
	if err != nil || d < time.Millisecond || d > maxRTT {
		return 0, fmt.Errorf(`must be a time from 1ms to %v, such as "300ms", or "none"`, maxRTT)
	}
	return d, nil
}

// ShowRate, ShowVolume and ShowShare write a quantity as it would stand in the
// file.
func ShowRate(bits float64) string { return showQuantity(rateUnits, bits) }

// ShowVolume writes an amount of data in bytes.
func ShowVolume(bytes uint64) string { return showQuantity(volumeUnits, float64(bytes)) }

// ShowShare writes a share of 1.
func ShowShare(share float64) string { return showQuantity(shareUnits, share) }

func showQuantity(units []unit, v float64) string {
	if v == 0 {
		return none
	}
	for _, u := range units {
		if n := v / u.factor; n >= 1 || u == units[len(units)-1] {
			return strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64) + " " + u.name
		}
	}
	return none
}
