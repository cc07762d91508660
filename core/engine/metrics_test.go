package engine

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/session"
)

func TestMetrics(t *testing.T) {
	link := LinkStatus{
		Link:    session.Link{Name: "wlan0", State: "up", Role: "backup", Transport: "tcp", PMTU: 1400, SRTT: 0.02, Rate: 8e6, Loss: 0.01, Window: 5000},
		Control: controlUp, Quota: &QuotaStatus{Limit: 1000, Used: 10},
	}
	client := Status{
		Role: roleClient, Version: "v1", State: Up, Session: &SessionStatus{QueueBytes: 77},
		Links: []LinkStatus{link}, Counters: Counters{"drop_replay": 3, "tx_packets": 9, "udp_write_too_big": 1, "tun_drop_short": 2},
	}
	server := Status{
		Role: roleServer, State: Up,
		Clients: []ClientStatus{{Name: "a", Links: []LinkStatus{link}}, {Name: "b\xff", Links: []LinkStatus{link}}},
	}
	for name, c := range map[string]struct {
		status Status
		want   []string
	}{
		"client": {client, []string{
			`multilink_info{role="client",tun="",version="v1"} 1`, `multilink_up 1`, `multilink_state{state="no-link"} 0`,
			`multilink_queue_bytes{client=""} 77`,
			`multilink_link_rtt_seconds{client="",link="wlan0"} 0.02`,
			`multilink_link_rate_bytes_per_second{client="",link="wlan0"} 1e+06`,
			`multilink_link_state{client="",link="wlan0",state="up"} 1`,
			`multilink_link_role{client="",link="wlan0",role="backup"} 1`,
			`multilink_link_transport{client="",link="wlan0",transport="tcp"} 1`,
			`multilink_link_path_mtu_bytes{client="",link="wlan0"} 1400`,
			`multilink_link_quota_used_bytes{client="",link="wlan0"} 10`,
			`multilink_dropped_total{reason="replay"} 3`, `multilink_dropped_total{reason="tun_short"} 2`,
			`multilink_tx_packets_total 9`, `multilink_udp_write_too_big_total 1`, "go_goroutines ", "process_open_fds ",
		}},
		"server": {server, []string{
			"multilink_clients 2", `multilink_link_window_bytes{client="a",link="wlan0"} 5000`,
			`multilink_link_control_up{client="b?",link="wlan0"} 1`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(metricsHandler(func() Status { return c.status }, newLog(t, name).logger))
			defer s.Close()
			response, err := http.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("%s, %v: %s", response.Status, err, text)
			}
			for _, want := range c.want {
				if !strings.Contains(string(text), "\n"+want) {
					t.Errorf("no %s", want)
				}
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}
