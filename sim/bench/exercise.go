package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// settle is what each load runs before it is measured.
const settle = 400 * time.Millisecond

// pingEvery is the pace of the echo requests: often enough for a median in a
// second, too rare to keep a tunnel awake.
const pingEvery = 10 * time.Millisecond

// pause lets a time pass, or returns the error of ctx, which has ended before.
func pause(ctx context.Context, d time.Duration) error {
	return traffic.SleepUntil(ctx, time.Now().Add(d))
}

// exercise loads a tunnel in one way and returns what it measured, by name:
// rates in bit/s or packets/s, times in s.
type exercise struct {
	name  string
	about string
	costs []string // the values that show what a feature costs
	run   func(ctx context.Context, t *tunnel, d time.Duration) (map[string]float64, error)
}

// exercises are all there are, by name.
func exercises() []exercise {
	ofTCP, ofUDP := []string{"goodput", "cpu_per_gb"}, []string{"packets"}
	return []exercise{
		{"ping", "echo requests through an idle tunnel", nil, runPing},
		{"tcp1-down", "one TCP stream to the client", ofTCP, tcp(1, false)},
		{"tcp1-up", "one TCP stream to the server", ofTCP, tcp(1, true)},
		{"tcp4-down", "four TCP streams to the client, with echo requests", ofTCP, tcp(4, false)},
		{"tcp4-up", "four TCP streams to the server, with echo requests", ofTCP, tcp(4, true)},
		{"udp-64", "eight interleaved UDP flows of 64 byte payloads", ofUDP, udp(64)},
		{"udp-200", "eight interleaved UDP flows of 200 byte payloads", ofUDP, udp(200)},
		{"udp-mixed", "eight interleaved UDP flows of 64, 200, 576 and 1200 byte payloads", ofUDP, udp(64, 200, 576, 1200)},
	}
}

// tcp makes the exercise with n streams. More than one are accompanied by echo
// requests.
func tcp(n int, up bool) func(context.Context, *tunnel, time.Duration) (map[string]float64, error) {
	return func(ctx context.Context, t *tunnel, d time.Duration) (map[string]float64, error) {
		s, err := openStreams(ctx, t, n, up)
		if err != nil {
			return nil, err
		}
		defer s.close()
		s.start()
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
		bytes, used, began := s.received.Load(), t.cpu(), time.Now()
		found := map[string]float64{}
		if n > 1 {
			if found["ping"], err = ping(ctx, t, d); err != nil {
				return nil, err
			}
		}
		if err := pause(ctx, d-time.Since(began)); err != nil {
			return nil, err
		}
		moved := float64(s.received.Load() - bytes)
		if moved == 0 {
			return nil, fmt.Errorf("%s: nothing arrived in %v", t.name, time.Since(began))
		}
		found["goodput"] = moved * 8 / time.Since(began).Seconds()
		if len(t.programs) > 0 {
			found["cpu_per_gb"] = (t.cpu() - used) / (moved / 1e9)
		}
		return found, nil
	}
}

// udp makes the exercise with payloads of the given sizes in turn.
func udp(sizes ...int) func(context.Context, *tunnel, time.Duration) (map[string]float64, error) {
	return func(ctx context.Context, t *tunnel, d time.Duration) (map[string]float64, error) {
		f, err := openFlood(t, sizes)
		if err != nil {
			return nil, err
		}
		defer f.close()
		f.start()
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
		packets, began := f.received.Load(), time.Now()
		if err := pause(ctx, d); err != nil {
			return nil, err
		}
		return map[string]float64{
			"packets": float64(f.received.Load()-packets) / time.Since(began).Seconds(),
		}, nil
	}
}

func runPing(ctx context.Context, t *tunnel, d time.Duration) (map[string]float64, error) {
	if err := pause(ctx, settle); err != nil { // what was on its way before
		return nil, err
	}
	median, err := ping(ctx, t, d)
	return map[string]float64{"ping": median}, err
}

// ping returns the median round trip of echo requests to the server, in s.
func ping(ctx context.Context, t *tunnel, d time.Duration) (float64, error) {
	result, err := traffic.Run(ctx, traffic.Job{
		Traffic: scenario.Traffic{Name: "ping", Kind: "ping", Interval: pingEvery, Duration: d},
		Client:  traffic.End{NS: t.world.client}, Host: traffic.End{NS: t.world.server, Addr: t.server},
		Origin: time.Now(), Until: d,
	})
	if err != nil {
		return 0, err
	}
	median, ok := medianOf(result)
	if !ok {
		return 0, fmt.Errorf("%s: no echo request was answered", t.name)
	}
	return median, nil
}

func medianOf(o meter.Outcome) (float64, bool) {
	rtt, _ := o.Values["rtt"].(map[string]any)
	median, ok := rtt["p50"].(float64)
	return median, ok
}
