package engine

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsReaders is how many may read metrics at the same time.
const metricsReaders = 4

// openMetrics serves a status in the format of Prometheus on an address; on none, and
// returns nil, when the address is not valid.
func openMetrics(at netip.AddrPort, status func() Status, log *slog.Logger) (*httpService, error) {
	if !at.IsValid() {
		return nil, nil
	}
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w: set another address (metrics.listen)", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsHandler(status, log))
	server := &http.Server{Handler: mux, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	log.Info("serving metrics", "at", "http://"+listener.Addr().String()+"/metrics")
	return serveHTTP("metrics", listener, server, log), nil
}

func metricsHandler(status func() Status, log *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(statusCollector(status), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: metricsReaders, Timeout: 20 * time.Second,
	})
}

// statusCollector makes metrics of a status.
type statusCollector func() Status

// Describe announces nothing: which counters and links there are, the status
// tells.
func (statusCollector) Describe(chan<- *prometheus.Desc) {}

// Collect tells all there is.
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	st := c()
	m := metricWriter{ch}
	m.gauge("info", "What runs.", 1, "role", st.Role, "version", st.Version, "tun", st.TUN.Name)
	m.gauge("up", "Whether traffic can flow.", yes(st.State == Up))
	for _, s := range []State{Starting, Connecting, Up, Failing, NoLink} {
		m.gauge("state", "1 for the state that it is in.", yes(st.State == s), "state", string(s))
	}
	for name, n := range st.Counters {
		m.total(name, n)
	}
	if st.Session != nil {
		m.session(*st.Session, "")
	}
	for _, l := range st.Links {
		m.link(l, "")
	}
	if st.Role == roleServer {
		m.gauge("clients", "Clients that have a session.", float64(len(st.Clients)))
	}
	for _, c := range st.Clients {
		m.session(c.SessionStatus, c.Name)
		for _, l := range c.Links {
			m.link(l, c.Name)
		}
	}
}

// metricWriter makes single metrics. Labels come in pairs of name and value.
type metricWriter struct{ ch chan<- prometheus.Metric }

func (m metricWriter) add(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
	}
	m.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("multilink_"+name, help, names, nil), kind, v, values...)
}

func (m metricWriter) gauge(name, help string, v float64, labels ...string) {
	m.add(prometheus.GaugeValue, name, help, v, labels...)
}

// total is one of the counters of the status. What is dropped is one metric,
// by reason.
func (m metricWriter) total(name string, n uint64) {
	if before, reason, ok := strings.Cut(name, "drop_"); ok {
		m.add(prometheus.CounterValue, "dropped_total", "What was dropped, by reason: the counters with drop_ in their names.", float64(n), "reason", before+reason)
		return
	}
	m.add(prometheus.CounterValue, name+"_total", "The counter "+name+" of the status.", float64(n))
}

func (m metricWriter) session(s SessionStatus, client string) {
	m.gauge("session_seconds", "Age of the session.", s.Since, "client", client)
	m.gauge("queue_bytes", "Bytes that wait for a link.", float64(s.QueueBytes), "client", client)
	m.gauge("held_bytes", "Bytes that wait for an earlier packet.", float64(s.HeldBytes), "client", client)
}

// linkMetrics are what is told of each link, in base units.
var linkMetrics = []struct {
	name, help string
	kind       prometheus.ValueType
	value      func(LinkStatus) float64
}{
	{"control_up", "Whether the control connection stands.", prometheus.GaugeValue, func(l LinkStatus) float64 { return yes(l.Control == controlUp) }},
	{"rtt_seconds", "Smoothed round trip.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.SRTT }},
	{"rtt_variation_seconds", "How much the round trip varies.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.RTTVar }},
	{"rtt_min_seconds", "Least round trip.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.MinRTT }},
	{"delay_above_fastest_seconds", "One-way delay above that of the fastest link, sending.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.Delay }},
	{"jitter_seconds", "Variation of the one-way delay, sending.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.Jitter }},
	{"rate_bytes_per_second", "Estimated delivery rate, sending.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.Rate / 8 }},
	{"loss_ratio", "Share of recent datagrams lost, sending.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.Loss }},
	{"rx_loss_ratio", "Share of recent datagrams lost, receiving.", prometheus.GaugeValue, func(l LinkStatus) float64 { return l.RxLoss }},
	{"in_flight_bytes", "Bytes on their way.", prometheus.GaugeValue, func(l LinkStatus) float64 { return float64(l.InFlight) }},
	{"window_bytes", "Bytes that may be on their way.", prometheus.GaugeValue, func(l LinkStatus) float64 { return float64(l.Window) }},
	{"path_mtu_bytes", "Largest outer packet known to pass, sending; 0: no limit.", prometheus.GaugeValue, func(l LinkStatus) float64 { return float64(l.PMTU) }},
	{"tx_bytes_total", "Bytes sent since the link came up, with all headers.", prometheus.CounterValue, func(l LinkStatus) float64 { return float64(l.TxBytes) }},
	{"rx_bytes_total", "Bytes received since the link came up, with all headers.", prometheus.CounterValue, func(l LinkStatus) float64 { return float64(l.RxBytes) }},
	{"tx_datagrams_total", "Datagrams sent since the link came up.", prometheus.CounterValue, func(l LinkStatus) float64 { return float64(l.TxDatagrams) }},
	{"rx_datagrams_total", "Datagrams received since the link came up.", prometheus.CounterValue, func(l LinkStatus) float64 { return float64(l.RxDatagrams) }},
	{"lost_datagrams_total", "Datagrams sent and lost since the link came up.", prometheus.CounterValue, func(l LinkStatus) float64 { return float64(l.Lost) }},
}

func (m metricWriter) link(l LinkStatus, client string) {
	for _, lm := range linkMetrics {
		m.add(lm.kind, "link_"+lm.name, lm.help, lm.value(l), "client", client, "link", l.Name)
	}
	for _, state := range []string{"probing", "up", "suspect", linkDown} {
		m.gauge("link_state", "1 for the state that the link is in.", yes(l.State == state), "client", client, "link", l.Name, "state", state)
	}
	m.gauge("link_transport", "1 for what carries the link's datagrams: udp or its control connection, tcp.", 1, "client", client, "link", l.Name, "transport", l.Transport)
	m.gauge("link_role", "1 for the role that the link has.", 1, "client", client, "link", l.Name, "role", l.Role)
	if q := l.Quota; q != nil {
		m.gauge("link_quota_bytes", "What the link may carry in a period.", float64(q.Limit), "client", client, "link", l.Name)
		m.gauge("link_quota_used_bytes", "What it has carried in this one.", float64(q.Used), "client", client, "link", l.Name)
	}
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
