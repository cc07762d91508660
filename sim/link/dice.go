package link

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// dice holds one random stream per impairment.
type dice struct {
	loss, jitter, reorder, duplicate, corrupt *rand.PCG
	bad                                       bool // the loss model's state
}

// fate is what the dice say about one packet.
type fate struct {
	lost, reorder, duplicate, corrupt bool
	jitter                            float64 // in units of Config.Jitter
	bit                               uint64  // which bit to invert, before reduction
}

func newDice(seed uint64) dice {
	return dice{
		loss:      newStream(seed, "loss"),
		jitter:    newStream(seed, "jitter"),
		reorder:   newStream(seed, "reorder"),
		duplicate: newStream(seed, "duplicate"),
		corrupt:   newStream(seed, "corrupt"),
	}
}

// newStream derives the stream of one impairment.
func newStream(seed uint64, name string) *rand.PCG {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.NewPCG(seed, h.Sum64())
}

// roll decides one packet's fate. It takes the same number of draws from
// every stream whatever the configuration: a knob that is turned later, or a
// packet that is dropped for another reason, leaves the other packets' fates
// as they are.
func (d *dice) roll(cfg *Config) fate {
	var f fate
	f.lost = d.lose(&cfg.Loss)
	f.jitter = d.deviate(cfg.Distribution)
	f.reorder = unit(d.reorder) < cfg.Reorder
	f.duplicate = unit(d.duplicate) < cfg.Duplicate
	f.corrupt = unit(d.corrupt) < cfg.Corrupt
	f.bit = d.corrupt.Uint64()
	return f
}

// lose steps the Gilbert-Elliott model in the order of netem's
// loss_gilb_ell: the packet meets the state that the link is in, then the
// state changes.
func (d *dice) lose(l *Loss) bool {
	chance, turn := unit(d.loss), unit(d.loss)
	if d.bad {
		if turn < l.R {
			d.bad = false
		}
		return chance < l.Bad
	}
	if turn < l.P {
		d.bad = true
	}
	return chance < l.Good
}

// deviate draws a deviation of mean 0: within ±1, or normal with variance 1
// (Box and Muller's transform).
func (d *dice) deviate(shape Distribution) float64 {
	u, v := unit(d.jitter), unit(d.jitter)
	if shape == Normal {
		return math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*v)
	}
	return 2*u - 1
}

// unit draws from [0, 1).
func unit(s *rand.PCG) float64 { return float64(s.Uint64()>>11) / (1 << 53) }
