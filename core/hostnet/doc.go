// Package hostnet changes the network settings of the host for a tunnel and
// puts them back exactly: addresses, routes, policy rules, nftables, DNS and
// sysctls, for IPv4 and IPv6 alike.
//
// # How traffic gets into the tunnel
//
// The user's routing tables stay as they are. The tunnel has a table of its
// own, and rules that lead there, the way wg-quick does it:
//
//	P    to EXCLUDED              lookup main
//	P+1  all                      lookup main suppress_prefixlength 0
//	P+2  not fwmark MARK          lookup TABLE
//
// So main answers for everything it knows by a route more specific than the
// default one (the local network stays local), what is left goes through the
// tunnel, and the product's own sockets, which carry MARK, go past it.
//
// # How it is undone
//
// Each change is a value that knows how to look (prepare), act (do) and undo.
// Before it acts, it is written with the value found to the journal
// STATE/TUN.journal and synced to disk:
//
//	prepare -> journal, fsync -> do          Apply
//	undo, in reverse order -> remove file    Undo, or Recover after a crash
//
// Undo tolerates what has gone by itself or never happened, so a process may
// die between any two of these steps. A value that somebody else changed in
// the meantime is left alone and reported. Sysctls that several tunnels need
// (forwarding) are put back by the last of them: each journal in the state
// directory that names the key counts as a user of it.
package hostnet
