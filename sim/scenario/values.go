package scenario

import "maps"

// Overlay puts configuration keys over others; tables are joined. Neither map
// changes.
func Overlay(under, over map[string]any) map[string]any {
	joined := maps.Clone(under)
	if joined == nil {
		joined = map[string]any{}
	}
	for key, value := range over {
		table, isTable := value.(map[string]any)
		below, wasTable := joined[key].(map[string]any)
		if isTable && wasTable {
			value = Overlay(below, table)
		}
		joined[key] = value
	}
	return joined
}

// Measurements are measured values as expectations compute with them: every
// number, at any depth of the maps, as a float64.
func Measurements(values map[string]any) map[string]any {
	all := make(map[string]any, len(values))
	for name, value := range values {
		switch x := value.(type) {
		case map[string]any:
			all[name] = Measurements(x)
		case int:
			all[name] = float64(x)
		case int64:
			all[name] = float64(x)
		case uint64:
			all[name] = float64(x)
		default:
			all[name] = value
		}
	}
	return all
}
