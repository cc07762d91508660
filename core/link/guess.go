package link

// Guess is what a link could carry when it was last used.
type Guess struct {
	Rate   float64 // delivery rate, bytes/s; 0: not known
	Window int     // bytes
}

// Guess returns what the link can carry by what is known.
func (s *Sender) Guess() Guess {
	if s.window.reports == 0 {
		return Guess{}
	}
	return Guess{Rate: s.window.rate, Window: s.window.size}
}

// Begin makes the start of the window begin from a guess.
func (s *Sender) Begin(g Guess) {
	s.estimated = false
	s.window.size = max(s.window.size, g.Window)
	s.window.rate = g.Rate
}
