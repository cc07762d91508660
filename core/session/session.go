package session

import (
	"math/rand/v2"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/queue"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Limits of a session.
const (
	defaultQueueBytes = 16 << 20
	// maxPackets bounds the packets held at once: waiting, in flight and
	// out of order, 48 MiB.
	maxPackets = 1 << 15
)

// Session is the keyed state between one client and the server over all
// links. It is not safe for concurrent use.
type Session struct {
	cfg    Config
	pool   *packet.Pool
	queue  *queue.Queue
	sched  sched.Scheduler
	reseq  reseq.Resequencer
	seen   reseq.Seen
	halves halves
	env    reseq.Env
	lag    lag
	equal  equalizer
	random *rand.Rand

	links     [core.MaxLinks]*linkState
	order     []*linkState // those that exist, by ID
	view      sched.View
	looked    bool          // the view is of this call, and no link was used since
	repairing time.Duration // what repairTime said when the view was filled
	ack       wire.Ack
	frames    wire.FrameParser
	handler   frameHandler
	arrival   reseq.Arrival
	report    []byte // scratch for a body of frames
	lost      []link.Lost
	stranded  []*packet.Packet // lost with the last link
	ackLink   core.LinkID      // carries the reports
	urgent    urgentLink
	calls     calls
	qos       QoS
	shaper    *qos.Shaper // nil: windows are left alone
	answers   *answers    // flows whose peer wants low latency; nil: not followed
	backups   bool        // carry data: no active link does well enough
	expired   core.Time   // when the queue was last searched for old packets
	memories  [core.MaxLinks]memory

	now      core.Time // of the call under way
	wake     core.Time // when the scheduler wants to be asked again
	advised  core.Time // when delays were last told to the peer
	sentData core.Time // when an inner packet was last sent
	gotData  core.Time // when one last came

	counters Counters
}

// New makes a session without links. It fails on a name that is not known.
func New(cfg Config, now core.Time) (*Session, error) {
	if cfg.MTU == 0 {
		cfg.MTU = wire.DefaultMTU
	}
	if cfg.QueueBytes == 0 {
		cfg.QueueBytes = defaultQueueBytes
	}
	s := &Session{
		cfg:    cfg,
		pool:   packet.NewPool(maxPackets),
		queue:  queue.New(cfg.QueueBytes),
		random: rand.New(rand.NewPCG(cfg.Seed, 0x6d756c74696c696e)),
		now:    now,
		wake:   core.Never,
	}
	s.env.Pool = s.pool
	if cfg.FollowLatency {
		s.answers = &answers{}
	}
	var err error
	if s.calls.table, err = classify.NewTable(cfg.Send.Classifier, classify.Limits{}, cfg.Seed); err != nil {
		return nil, err
	}
	if s.sched, err = sched.New(cfg.Send.Scheduler); err != nil {
		return nil, err
	}
	if s.reseq, err = reseq.New(cfg.Reorder); err != nil {
		return nil, err
	}
	return s, nil
}

// SetStrategy changes how this end sends; what waits is sent the new way.
func (s *Session) SetStrategy(now core.Time, st Strategy, out *Output) error {
	s.begin(now, out)
	if st.Scheduler != s.cfg.Send.Scheduler {
		n, err := sched.New(st.Scheduler)
		if err != nil {
			return err
		}
		s.sched = n
	}
	if st.Classifier != s.cfg.Send.Classifier {
		if err := s.calls.table.Set(st.Classifier); err != nil {
			return err
		}
	}
	s.cfg.Send = st
	for _, l := range s.order {
		l.tx.SetPaced(st.RateControl)
		l.rx.SetRare(st.Reports == ReportsRare)
	}
	s.pump(out)
	return nil
}

// SetReorder changes the resequencer; what the old one holds is delivered.
func (s *Session) SetReorder(now core.Time, name string, out *Output) error {
	s.begin(now, out)
	if name == s.cfg.Reorder {
		return nil
	}
	n, err := reseq.New(name)
	if err != nil {
		return err
	}
	s.reseq.Flush(out)
	s.addReseqStats(&s.counters)
	s.reseq, s.cfg.Reorder = n, name
	return nil
}

// begin starts a call.
func (s *Session) begin(now core.Time, out *Output) {
	s.now, s.looked = now, false
	out.reset()
}

// beginBody begins a body of frames in the session's scratch memory.
func (s *Session) beginBody() []byte { return wire.AppendFrames(s.report[:0]) }

// NextTimeout is when HandleTimeout must be called, at the latest; core.Never
// when nothing waits for time to pass.
func (s *Session) NextTimeout() core.Time {
	t := min(s.reseq.NextTimeout(), s.halves.nextTimeout())
	for _, l := range s.order {
		t = min(t, s.tailDue(l), l.rx.AckDue(), s.probeDue(l), s.judgeDue(l), l.hedgeDue(), l.tailProbeDue(), l.mtuDue(), s.fallbackDue(l), l.paths.nextTimeout())
	}
	if !s.queue.Empty() || len(s.stranded) > 0 {
		t = min(t, s.wake, s.expireDue())
	}
	return t
}

// HandleTimeout does what has become due. Calling it early does no harm.
func (s *Session) HandleTimeout(now core.Time, out *Output) {
	s.lag.note(now, now.Sub(max(s.NextTimeout(), s.now)))
	s.begin(now, out)
	for _, l := range s.order {
		if s.tailDue(l) <= now {
			s.lost = l.tx.HandleTimeout(now, s.lost[:0])
			s.repair(l, out)
		}
		s.judge(l, out)
		if l.hedgeDue() <= now {
			s.hedgeCalls(l, out)
		}
		s.challengeAgain(l, out)
		if l.tailProbeDue() <= now {
			s.probeTail(l, out)
		}
		if s.probeDue(l) <= now {
			s.probe(l, out)
		}
		if s.fallbackDue(l) <= now {
			s.tryOther(l, out)
		}
		if l.mtuDue() <= now {
			s.probeMTU(l, out)
		}
	}
	s.halves.expire(now)
	s.finish(out)
}

// finish ends a call that may have changed what can be sent or delivered.
func (s *Session) finish(out *Output) {
	s.updateEnv()
	s.callBackups()
	s.expire()
	s.tell(out)
	s.reseq.HandleTimeout(&s.env, out)
	s.pump(out)
	s.sendReports(out)
	if s.idle() {
		s.trim()
	}
}

// An idle session keeps few packets for reuse.
const (
	idleAfter   = 5 * time.Second
	idlePackets = 2
)

// trim gives back the memory that carrying data took.
func (s *Session) trim() {
	s.pool.Trim(idlePackets)
	s.queue.Trim()
	s.arrival = reseq.Arrival{}
	for _, l := range s.order {
		l.tx.Trim()
		l.hedge.trim()
	}
	s.trimCalls()
	if s.now.Sub(s.gotData) > idleAfter {
		s.seen.Trim()
		for _, l := range s.order {
			l.replay.Trim()
		}
	}
}

func (s *Session) idle() bool { return s.now.Sub(s.sentData) > idleAfter }
