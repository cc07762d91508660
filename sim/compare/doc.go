// Package compare is what a comparison of schedulers is made of: which cells
// there are to run, what is kept of each, how an interrupted comparison goes on
// and how the shards of one are put together, and the statistics over it all.
//
// A cell is one run: a scenario (at a point of a table of settings, if there is
// one) with one seed, and either a scheduler or a baseline. Baselines do not
// depend on the scheduler and are run once for all of them. Each finished cell
// is a line of cells.jsonl in the folder of the comparison, written to disk
// before the next is reported, beside plan.json, which says what is compared.
//
// How a cell is run is not this package's: Run is given a function for it.
package compare
