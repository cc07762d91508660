package scenario

import (
	"cmp"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The defaults of traffic, and its bounds.
const (
	defaultFileSize     = 10e6 // bytes, of http
	defaultUDPPacket    = 1200
	defaultPingInterval = 100 * time.Millisecond
	defaultDNSInterval  = 100 * time.Millisecond
	// defaultLimit is how long traffic may take that ends by size or count,
	// in a scenario without a duration.
	defaultLimit = time.Minute

	minInterval          = time.Millisecond
	maxStreams           = 256
	minPacket, maxPacket = 64, 65000
)

// trafficKeys are the keys each kind has beyond those of all kinds.
var trafficKeys = map[string][]string{
	"tcp":  {"direction", "streams", "cc", "size"},
	"udp":  {"direction", "rate", "packet"},
	"rtp":  {"direction", "codec"},
	"ping": {"interval"},
	"http": {"direction", "cc", "size", "count"},
	"dns":  {"interval"},
}

var (
	trafficKinds   = []string{"tcp", "udp", "rtp", "ping", "http", "dns"}
	anyTrafficKeys = []string{"name", "kind", "start", "duration", "to", "ip", "via"}
	// trafficName is what an expression can name.
	trafficName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,31}$`)
	// ccName is the form of a congestion control's name (TCP_CA_NAME_MAX).
	ccName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,14}$`)
)

// traffic decodes the section and returns the node of each entry.
func (d *decoder) traffic(n *node, sc *Scenario) []*node {
	if n == nil {
		return nil
	}
	var nodes []*node
	names := map[string]bool{}
	d.list(n, func(item *node) {
		t := d.oneTraffic(item, sc)
		if t.Name != "" && names[t.Name] {
			d.bad(item.get("name"), "a second traffic of that name")
		}
		names[t.Name] = true
		sc.Traffic = append(sc.Traffic, t)
		nodes = append(nodes, item)
	})
	return nodes
}

func (d *decoder) oneTraffic(n *node, sc *Scenario) Traffic {
	t := Traffic{To: 1, Via: Via{Kind: "tunnel"}}
	ok := d.mapping(n, "a traffic", map[string]setter{
		"name":      d.trafficName(&t.Name),
		"kind":      d.trafficKind(&t.Kind),
		"direction": d.choice(&t.Direction, "down", "up", "both"),
		"start":     d.duration(&t.Start),
		"duration":  d.positive(&t.Duration, minDuration),
		"streams":   d.integer(&t.Streams, 1, maxStreams),
		"cc":        parsed(d, &t.CC, parseCC),
		"size":      parsed(d, &t.Size, parseSize),
		"count":     d.integer(&t.Count, 1, 1e6),
		"rate":      parsed(d, &t.Rate, parseRate),
		"packet":    d.integer(&t.Packet, minPacket, maxPacket),
		"codec":     d.choice(&t.Codec, "pcmu", "opus"),
		"interval":  d.positive(&t.Interval, minInterval),
		"to":        d.host(&t.To),
		"ip":        d.family(&t.IP),
		"via":       d.via(&t.Via, sc),
	})
	if !ok || !d.required(n, "a traffic", "name", "kind") || t.Kind == "" {
		return t
	}
	d.checkKind(n, &t)
	trafficDefaults(&t, sc)
	if want := string(sc.Underlay); t.Via.Kind != "tunnel" && want != string(UnderlayBoth) && want != string(rune('0'+t.IP)) {
		d.bad(n.get("ip"), "past the tunnel there is only the underlay's family, %s", want)
	}
	return t
}

func (d *decoder) trafficName(dst *string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be a name") {
			return
		}
		switch {
		case !trafficName.MatchString(n.text):
			d.bad(n, "must be a letter, then at most 31 letters, digits or _, so that expectations can name it")
		case slices.Contains(reservedNames, n.text):
			d.bad(n, "expectations have another use for that word")
		}
		*dst = n.text // even if it is wrong, so that what refers to it is not
	}
}

func (d *decoder) trafficKind(dst *string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be one of "+strings.Join(trafficKinds, ", ")) {
			return
		}
		if !slices.Contains(trafficKinds, n.text) {
			d.bad(n, "no kind of traffic: %s", suggest(n.text, trafficKinds))
			return
		}
		*dst = n.text
	}
}

// positive decodes a time that is at least low.
func (d *decoder) positive(dst *time.Duration, low time.Duration) setter {
	return parsed(d, dst, func(s string) (time.Duration, error) {
		v, err := parseTime(s)
		if err == nil && v < low {
			err = errors.New("must be at least " + low.String())
		}
		return v, err
	})
}

func parseCC(s string) (string, error) {
	if !ccName.MatchString(s) {
		return "", errors.New("must be the name of a congestion control, such as cubic or bbr")
	}
	return s, nil
}

func (d *decoder) family(dst *int) setter {
	return func(n *node) {
		family := ""
		d.choice(&family, "4", "6")(n)
		if family != "" {
			*dst = int(family[0] - '0')
		}
	}
}

func (d *decoder) host(dst *int) setter {
	return func(n *node) {
		if n.text != "1" && n.text != "2" {
			d.bad(n, "there are two hosts behind the server, 1 and 2")
			return
		}
		*dst = int(n.text[0] - '0')
	}
}

func (d *decoder) via(dst *Via, sc *Scenario) setter {
	return func(n *node) {
		const want = "must be tunnel, link:NAME or mptcp"
		if !d.scalar(n, want) {
			return
		}
		kind, name, hasName := strings.Cut(n.text, ":")
		switch {
		case (kind == "tunnel" || kind == "mptcp") && !hasName:
			*dst = Via{Kind: kind}
		case kind != "link" || !hasName:
			d.bad(n, want)
		case !slices.Contains(linkNames(sc), name):
			d.bad(n, "no link is named %q: %s", name, suggest(name, linkNames(sc)))
		default:
			*dst = Via{Kind: kind, Link: name}
		}
	}
}

// checkKind refuses keys that the kind of traffic does not have.
func (d *decoder) checkKind(n *node, t *Traffic) {
	own := trafficKeys[t.Kind]
	for _, e := range n.entries {
		if e.value.isNull() || slices.Contains(anyTrafficKeys, e.key) || slices.Contains(own, e.key) {
			continue
		}
		if slices.Contains(slices.Concat(slices.Collect(maps.Values(trafficKeys))...), e.key) {
			d.errorf(e.pos, "%s is no key of %s traffic (it has %s)", e.key, t.Kind, strings.Join(own, ", "))
		}
	}
	if t.Kind == "udp" {
		d.required(n, "udp traffic", "rate")
	}
	if t.Kind == "http" && t.Direction != "" && t.Direction != "down" {
		d.bad(n.get("direction"), "http only downloads")
	}
	if t.Kind != "tcp" && t.Via.Kind == "mptcp" {
		d.bad(n.get("via"), "only tcp traffic can go by MPTCP")
	}
}

// trafficDefaults fills in what depends on the kind.
func trafficDefaults(t *Traffic, sc *Scenario) {
	if t.Direction == "" && slices.Contains(trafficKeys[t.Kind], "direction") {
		t.Direction = "down"
		if t.Kind == "rtp" {
			t.Direction = "both"
		}
	}
	if t.IP == 0 {
		t.IP = 4
		if t.Via.Kind != "tunnel" && sc.Underlay == Underlay6 {
			t.IP = 6
		}
	}
	switch t.Kind {
	case "tcp":
		t.Streams = cmp.Or(t.Streams, 1)
	case "udp":
		t.Packet = cmp.Or(t.Packet, defaultUDPPacket)
	case "rtp":
		t.Codec = cmp.Or(t.Codec, "pcmu")
	case "ping":
		t.Interval = cmp.Or(t.Interval, defaultPingInterval)
	case "http":
		t.Size = cmp.Or(t.Size, defaultFileSize)
		t.Count = cmp.Or(t.Count, 1)
	case "dns":
		t.Interval = cmp.Or(t.Interval, defaultDNSInterval)
	}
}
