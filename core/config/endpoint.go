package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// The functions of this file read a host or an address with a port.

var (
	errServer   = errors.New(`must be host[:port], such as "vpn.example.org", "192.0.2.1:5410" or "[2001:db8::1]:5410"`)
	errListen   = errors.New(`must be [address]:port, such as ":5410", "192.0.2.1:5410" or "[2001:db8::1]:5410"`)
	errPort     = errors.New("the port behind the colon must be 1..65535")
	errBrackets = errors.New(`an IPv6 address must be in brackets, with the port behind them, such as "[2001:db8::1]:5410"`)
)

// serverAddress reads host[:port]; an IPv6 address needs brackets only with a
// port.
func serverAddress(v any) (HostPort, error) {
	s, ok := v.(string)
	if !ok || strings.Contains(s, "/") { // no URL
		return HostPort{}, errServer
	}
	host, port := s, uint16(DefaultPort)
	if !isIPv6(s) {
		var err error
		if host, port, err = splitPort(s); err != nil {
			return HostPort{}, err
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.Is4In6() || a.IsMulticast() {
			return HostPort{}, errServer
		}
	} else if !hostName(host) {
		return HostPort{}, errServer
	}
	return HostPort{Host: host, Port: port}, nil
}

// splitPort cuts the port off what is no IPv6 address alone, and the brackets
// off an address.
func splitPort(s string) (host string, port uint16, err error) {
	host, port = s, DefaultPort
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host = s[:i]
		n, wrong := strconv.ParseUint(s[i+1:], 10, 16)
		if wrong == nil && n > 0 {
			port = uint16(n)
		}
		if isIPv6(host) {
			return "", 0, fmt.Errorf("an IPv6 address with a port must be in brackets: %q", HostPort{host, port})
		}
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return "", 0, errServer
		}
		if wrong != nil || n == 0 {
			return "", 0, errPort
		}
	}
	if inner, bracket := strings.CutPrefix(host, "["); bracket {
		host = strings.TrimSuffix(inner, "]")
		if inner == host || !isIPv6(host) {
			return "", 0, errServer
		}
	}
	return host, port, nil
}

// isIPv6 tells whether a text is an IPv6 address without brackets. No interface
// has a colon in its name: one in the zone is that of a port.
func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && !strings.Contains(a.Zone(), ":")
}

// hostLabel is a label of a host name (RFC 1123 2.1); underscores occur.
var hostLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

func hostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	// A last label of digits only is an address that was mistyped.
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil
}

// listenAddress reads [address]:port.
func listenAddress(v any) (netip.AddrPort, error) {
	s, ok := v.(string)
	if !ok {
		return netip.AddrPort{}, errListen
	}
	rest, anyAddress := strings.CutPrefix(s, ":")
	if anyAddress {
		rest = "0.0.0.0:" + rest
	}
	ap, err := netip.ParseAddrPort(rest)
	switch {
	case err != nil && lacksBrackets(s):
		return netip.AddrPort{}, errBrackets
	case err != nil || ap.Addr().Is4In6():
		return netip.AddrPort{}, errListen
	case ap.Port() == 0:
		return netip.AddrPort{}, errors.New("the port must be 1..65535: clients must know it")
	case anyAddress:
		return netip.AddrPortFrom(netip.Addr{}, ap.Port()), nil
	}
	return ap, nil
}

// lacksBrackets tells whether a text is an IPv6 address, or one with something
// behind a last colon.
func lacksBrackets(s string) bool {
	i := strings.LastIndexByte(s, ':')
	return isIPv6(s) || i >= 0 && isIPv6(s[:i])
}
