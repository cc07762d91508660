package lab

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// runTimeline does the actions of a scenario, each at its time. It stops at
// the first that fails.
func (r *run) runTimeline(ctx context.Context) error {
	for i, a := range r.sc.Timeline {
		if err := traffic.SleepUntil(ctx, r.origin.Add(a.At)); err != nil {
			return err
		}
		r.say("%s", describe(a))
		if i == len(r.sc.Timeline)-1 {
			r.recovery.arm(r.sc.Timeline)
		}
		if err := r.act(a); err != nil {
			return fmt.Errorf("timeline, at %v: %s: %w", a.At, describe(a), err)
		}
	}
	return nil
}

// describe is an action in a few words.
func describe(a scenario.Action) string {
	text := a.Do
	if a.Link != "" {
		text += " " + a.Link
	}
	if a.Direction != "" && a.Direction != "both" {
		text += " " + a.Direction
	}
	return text
}

// act does one action now.
func (r *run) act(a scenario.Action) error {
	if a.Link == "" {
		return r.actOnProduct(a)
	}
	l, err := r.topology.link(a.Link)
	if err != nil {
		return err
	}
	switch a.Do {
	case "blackhole", "restore":
		return r.blackhole(a.Link, a.Direction, a.Do == "blackhole")
	case "unplug":
		return r.topology.unplug(l)
	case "plug":
		return errors.Join(r.topology.plug(l), r.mptcpEndpoint(l))
	case "down", "up":
		return r.topology.carrier(l, a.Do == "up")
	case "set":
		return r.topology.set(l, a)
	case "readdress":
		return errors.Join(r.topology.readdress(l), r.mptcpEndpoint(l))
	case "rebind":
		return r.topology.rebind(l)
	}
	return errors.New("no such action")
}

func (r *run) actOnProduct(a scenario.Action) error {
	if r.product == nil {
		return errors.New("neither client nor server was started")
	}
	var err error
	switch a.Do {
	case "kill-server":
		err = r.product.server.process.Kill()
	case "kill-client":
		err = r.product.client.process.Kill()
	case "start-server":
		return r.product.start(r.product.server)
	case "start-client":
		return r.product.start(r.product.client)
	case "suspend-client":
		err = r.product.client.process.Signal(unix.SIGSTOP)
	case "resume-client":
		err = r.product.client.process.Signal(unix.SIGCONT)
	case "reload-client":
		err = r.product.reload(a.Client)
	default:
		return errors.New("no such action")
	}
	if err != nil { // it has ended before its time: its fault, not the testbed's
		r.broke("%s: %v", describe(a), err)
	}
	return nil
}

func (r *run) blackhole(link, direction string, on bool) error {
	var errs []error
	if direction != "down" {
		errs = append(errs, r.topology.impairer.Blackhole(link, emu.Up, on))
	}
	if direction != "up" {
		errs = append(errs, r.topology.impairer.Blackhole(link, emu.Down, on))
	}
	return errors.Join(errs...)
}

// set gives a link new impairments, now and for when it is plugged in again.
func (t *topology) set(l *linkState, a scenario.Action) error {
	for _, d := range []struct {
		direction emu.Direction
		to        *scenario.Impairment
	}{{emu.Up, a.Up}, {emu.Down, a.Down}} {
		if d.to == nil {
			continue
		}
		cfg, err := d.to.LinkConfig()
		if err != nil {
			return err
		}
		if d.direction == emu.Up {
			l.spec.Up = cfg
		} else {
			l.spec.Down = cfg
		}
		if !l.plugged {
			continue
		}
		if err := t.impairer.Set(l.Name, d.direction, cfg); err != nil {
			return err
		}
	}
	return nil
}
