package scenario

import (
	"fmt"
	"os"

	"github.com/multilink-vpn/multilink/sim/link"
)

// LinkConfig is an impairment as the link model takes it, with the trace read.
func (im Impairment) LinkConfig() (link.Config, error) {
	cfg := link.Config{
		Rate:      im.Rate,
		Delay:     im.Delay,
		Jitter:    im.Jitter,
		Loss:      link.Loss(im.Loss),
		Reorder:   im.Reorder,
		Duplicate: im.Duplicate,
		Corrupt:   im.Corrupt,
		Queue:     link.Queue(im.Queue),
		MTU:       im.MTU,
		BlockUDP:  im.Block == "udp",
	}
	if im.Distribution == "normal" {
		cfg.Distribution = link.Normal
	}
	if im.Trace == "" {
		return cfg, nil
	}
	var err error
	if cfg.Trace, err = readTrace(im.Trace); err != nil {
		return cfg, fmt.Errorf("trace %s: %w", im.Trace, err)
	}
	return cfg, nil
}

func readTrace(path string) (*link.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return link.ParseTrace(f)
}
