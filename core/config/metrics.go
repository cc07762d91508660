package config

import (
	"errors"
	"net/netip"
)

// Metrics says where metrics are served in the format of Prometheus.
type Metrics struct {
	// Listen is an address and port; not valid: nowhere.
	Listen netip.AddrPort
}

func decodeMetrics(t *table) Metrics {
	return Metrics{Listen: get(t, "listen", netip.AddrPort{}, optional(metricsAddress))}
}

// metricsAddress reads [address]:port. Without an address it is the loopback
// network's: whoever wants others to read along has to say so.
func metricsAddress(v any) (netip.AddrPort, error) {
	ap, err := listenAddress(v)
	if errors.Is(err, errBrackets) {
		return ap, err
	}
	if err != nil {
		return ap, errors.New(`must be [address]:port, such as ":9410" for this host alone or "192.0.2.1:9410", or "" for none`)
	}
	if !ap.Addr().IsValid() {
		ap = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
	}
	return ap, nil
}
