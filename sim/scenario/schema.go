package scenario

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of scenario files, for
// editors. It says what the shape of a file is; what only makes sense
// together is left to Parse.
func Schema() []byte { return slices.Clone(schema) }
