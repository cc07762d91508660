package bench

import "maps"

// feature is a part of the product's work that can be switched off alone, to
// see what it costs.
type feature struct {
	name string
	off  map[string]any // what a client's configuration says then
}

// features are all there are. Acknowledgements cannot be left out, since they
// open the window and say what need not be kept any longer: "off" means a fifth
// of them.
func features() []feature {
	return []feature{
		{"scheduling", map[string]any{"scheduler": "active-backup"}},
		{"acknowledgements", map[string]any{"reports": "rare"}},
		{"resequencing", map[string]any{"reorder": "none"}},
		{"retention", map[string]any{"retransmit": false}},
	}
}

// tunnelName names the tunnel that does without the feature.
func (f feature) tunnelName() string { return "no-" + f.name }

// spec says how to start that tunnel, the number-th of the product's, where
// client is what all have set.
func (f feature) spec(number int, client map[string]any) multilinkSpec {
	keys := maps.Clone(client)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, f.off)
	return multilinkSpec{name: f.tunnelName(), number: number, links: 1, client: keys}
}

// featureComparisons set the tunnels without a feature against the one with
// all: above 1 is what the feature costs in throughput, below 1 what it costs
// in processor time.
func featureComparisons() []comparison {
	var list []comparison
	for _, e := range exercises() {
		for _, value := range e.costs {
			for _, f := range features() {
				key := e.name + "." + value
				list = append(list, comparison{
					name: key + ", without " + f.name + " / with",
					of:   f.tunnelName(), against: productName, key: key, less: value == "cpu_per_gb",
				})
			}
		}
	}
	return list
}
