// Package scenarios holds the scenarios that Multilink ships. Most are read
// from their files; those that a program brings along are here.
package scenarios

import _ "embed"

// Demo is the scenario of `multilink-sim demo`, in the scenario language.
//
//go:embed demo.yaml
var Demo []byte
