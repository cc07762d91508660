package sched

// tally tells what became of a link's datagrams from one look to the next.
type tally struct{ acked, lost uint64 }

// since returns the bytes acknowledged and lost since the last restart; none
// when the sums went back, as they do when a link is made anew.
func (t *tally) since(l *Link) (acked, lost uint64) {
	if l.Acked < t.acked || l.Lost < t.lost {
		return 0, 0
	}
	return l.Acked - t.acked, l.Lost - t.lost
}

// restart counts from now on.
func (t *tally) restart(l *Link) { t.acked, t.lost = l.Acked, l.Lost }
