// Package config reads the configuration files of the client and the server:
// TOML, decoded strictly into validated structs.
//
// An unknown key, a wrong type or an impossible value is an [Error] with the
// file, line and column and with what would be right; all errors of a file are
// reported together, as [Errors]. What is valid but odd is a [Warning]. The
// keys are documented in docs/examples/client.toml and server.toml.
package config
