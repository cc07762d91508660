// Package bench measures how fast the product is, against wireguard-go: both
// tunnels stand between the same two network namespaces, over a cable without
// any limit, and are loaded in turn. What is compared is the ratio within a
// pair of runs that follow one another, since this kind of measurement varies
// by tens of percent with what else the machine does.
//
// The files: world.go makes the namespaces, tunnel.go with multilink.go and
// wireguard.go the tunnels, tcp.go, flood.go and exercise.go load them, run.go
// takes turns, features.go says what is switched off, result.go compares,
// noise.go says whether the machine was quiet.
package bench
