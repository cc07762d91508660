package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/wire"
)

// The functions of this file read one value each. Their errors say what would
// be right.

var errString = errors.New("must be a string in quotes")

func boolean(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, errors.New("must be true or false")
	}
	return b, nil
}

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", errString
	}
	return s, nil
}

func nonEmpty(v any) (string, error) {
	s, err := text(v)
	if err == nil && s == "" {
		err = errors.New("must not be empty")
	}
	return s, err
}

func integer(low, high int64) func(any) (int, error) {
	return func(v any) (int, error) {
		n, ok := v.(int64)
		if !ok {
			return 0, fmt.Errorf("must be a whole number, %d..%d", low, high)
		}
		if n < low || n > high {
			return 0, fmt.Errorf("must be %d..%d", low, high)
		}
		return int(n), nil
	}
}

func mtu(v any) (int, error) { return integer(wire.MinMTU, wire.MaxMTU)(v) }

func mark(v any) (uint32, error) {
	n, err := integer(1, 1<<32-1)(v)
	return uint32(n), err
}

// routingTable refuses the tables of the kernel's own (rtnetlink(7)).
func routingTable(v any) (int, error) {
	n, err := integer(1, 1<<31-1)(v)
	if err == nil && n >= 253 && n <= 255 {
		err = errors.New("must not be 253, 254 or 255, which are the host's own (default, main, local)")
	}
	return n, err
}

// oneOf accepts the given words only.
func oneOf(words ...string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, ok := v.(string)
		if ok && slices.Contains(words, s) {
			return s, nil
		}
		want := "must be one of " + strings.Join(words, ", ")
		if near := nearest(s, words); near != "" {
			want = fmt.Sprintf("did you mean %q? %s", near, want)
		}
		return "", errors.New(want)
	}
}

// list reads a list, each element with parse, and reports every wrong one.
func list[T any](parse func(any) (T, error)) func(any) ([]T, error) {
	return func(v any) ([]T, error) {
		elements, ok := v.([]any)
		if !ok {
			return nil, errors.New("must be a list in brackets")
		}
		var all []T
		var wrong elementErrors
		for i, e := range elements {
			x, err := parse(e)
			if err != nil {
				wrong = append(wrong, elementError{i, e, err})
				continue
			}
			all = append(all, x)
		}
		if len(wrong) > 0 {
			return nil, wrong
		}
		return all, nil
	}
}

// optional reads "" as the zero value.
func optional[T any](parse func(any) (T, error)) func(any) (T, error) {
	return func(v any) (T, error) {
		if v == "" {
			var zero T
			return zero, nil
		}
		return parse(v)
	}
}

// maxGrace is the longest grace time: a session costs memory and an address.
const maxGrace = 7 * 24 * time.Hour

func grace(v any) (time.Duration, error) {
	s, err := text(v)
	if err != nil {
		return 0, errors.New(`must be a time in quotes, such as "10m" or "90s"`)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(`must be a time, such as "10m" or "90s"`)
	}
	if d < 0 || d > maxGrace {
		return 0, errors.New(`must be "0s".."168h"`)
	}
	return d, nil
}

func address(v any) (netip.Addr, error) {
	s, err := text(v)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is4In6() || a.IsUnspecified() {
		return netip.Addr{}, errors.New(`must be an IP address, such as "192.0.2.1" or "2001:db8::1"`)
	}
	return a, nil
}

// prefix demands a length, and no bits behind it: those are usually a mistake
// in one or the other.
func prefix(v any) (netip.Prefix, error) {
	s, err := text(v)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.Prefix{}, fmt.Errorf("must have a length: %q for this address alone", netip.PrefixFrom(a, a.BitLen()))
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New(`must be a prefix, such as "192.0.2.0/24" or "2001:db8::/32"`)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits behind its length: must be %q, or another length", p.Masked())
	}
	return p, nil
}

// pool reads a prefix of a family with a length within bounds.
func pool(family, shortest, longest int) func(any) (netip.Prefix, error) {
	return func(v any) (netip.Prefix, error) {
		p, err := prefix(v)
		if err != nil {
			return netip.Prefix{}, err
		}
		if p.Addr().Is4() != (family == 4) {
			return netip.Prefix{}, fmt.Errorf("must be a prefix of IPv%d", family)
		}
		if p.Bits() < shortest || p.Bits() > longest {
			return netip.Prefix{}, fmt.Errorf("must have a length of /%d../%d", shortest, longest)
		}
		return p, nil
	}
}

// clientAddress reads an address that a client can have in a pool.
func clientAddress(family int, pool netip.Prefix) func(any) (netip.Addr, error) {
	return func(v any) (netip.Addr, error) {
		a, err := address(v)
		switch {
		case err != nil:
			return netip.Addr{}, err
		case a.Is4() != (family == 4):
			return netip.Addr{}, fmt.Errorf("must be an address of IPv%d", family)
		case !pool.IsValid():
			return netip.Addr{}, fmt.Errorf("there is no addresses.pool%d to take it from", family)
		case !pool.Contains(a):
			return netip.Addr{}, fmt.Errorf("must be in addresses.pool%d = %q", family, pool)
		case a == pool.Addr():
			return netip.Addr{}, fmt.Errorf("is the address of addresses.pool%d = %q itself: must be another", family, pool)
		case a == pool.Masked().Addr().Next(): // the first after the pool's own
			return netip.Addr{}, errors.New("is the server's own: must be another")
		case family == 4 && !pool.Contains(a.Next()):
			return netip.Addr{}, errors.New("is the broadcast address of the pool: must be another")
		}
		return a, nil
	}
}

func publicKey(v any) (control.PublicKey, error) {
	s, err := text(v)
	if err != nil {
		return control.PublicKey{}, err
	}
	return control.ParsePublicKey(s)
}

func privateKey(v any) (control.PrivateKey, error) {
	s, err := text(v)
	if err != nil {
		return control.PrivateKey{}, err
	}
	return control.ParsePrivateKey(s)
}

var clientNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func clientName(v any) (string, error) {
	s, ok := v.(string)
	if !ok || !clientNamePattern.MatchString(s) {
		return "", errors.New("must be 1 to 63 letters, digits, dots, dashes and underscores, and begin with a letter or digit")
	}
	return s, nil
}

// maxInterfaceName is the kernel's limit (IFNAMSIZ less its final zero).
const maxInterfaceName = 15

// interfaceName reads the name of an interface as the kernel would accept it.
// A percent sign stands for a number when an interface is made.
func interfaceName(v any) (string, error) {
	s, ok := v.(string)
	if !ok || s == "" || s == "." || s == ".." || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%", r)
	}) {
		return "", errors.New("must be the name of an interface: no space, slash, colon or percent sign")
	}
	if len(s) > maxInterfaceName {
		return "", fmt.Errorf("must have at most %d characters: that is the kernel's limit", maxInterfaceName)
	}
	return s, nil
}

// tunName refuses names that mean something else below /proc/sys/net.
func tunName(v any) (string, error) {
	s, err := interfaceName(v)
	if err == nil && (s == "all" || s == "default" || s == "lo") {
		err = errors.New(`must be another name, such as "multilink0"`)
	}
	return s, err
}

// pattern reads a name or pattern of interfaces.
func pattern(v any) (string, error) {
	s, err := nonEmpty(v)
	if err != nil {
		return "", err
	}
	if _, err := path.Match(s, ""); err != nil {
		return "", errors.New(`must be a name or a pattern with * ? [a-z], such as "wlan*"`)
	}
	return s, nil
}

// deniedBy returns the pattern of a deny list that makes an entry of the allow
// list useless: the same one, or one that matches it where it is a plain name.
func deniedBy(deny []string, allow string) (by string, denied bool) {
	plain := !strings.ContainsAny(allow, `*?[\`)
	for _, d := range deny {
		if match, _ := path.Match(d, allow); d == allow || plain && match {
			return d, true
		}
	}
	return "", false
}

func absolute(v any) (string, error) {
	s, ok := v.(string)
	if !ok || !filepath.IsAbs(s) {
		return "", errors.New("must be a path that begins with /")
	}
	return filepath.Clean(s), nil
}

// maxSocketPath is the kernel's limit of 107 (sun_path less its final zero,
// unix(7)), less what the socket's name is longer by until it is open: a point and
// the process's number.
const maxSocketPath = 99

func socketPath(v any) (string, error) {
	s, err := absolute(v)
	if err == nil && len(s) > maxSocketPath {
		err = fmt.Errorf("has %d bytes: the path of a socket can have %d", len(s), maxSocketPath)
	}
	return s, err
}
