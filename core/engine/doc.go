// Package engine runs the tunnel: it joins sessions, which are pure, with the
// TUN device, the sockets, the control connections, the host's routes and the
// clock. [Client] and [Server] are the two ends.
//
// A [driver] owns one session. Whoever has something for it (the reader of
// the TUN, the reader of a socket, the timer) takes the driver's lock, calls
// the session, and carries out what it wants with the lock released, in the
// order in which the session wanted it.
//
// What the engine believes is a [Status], which a Unix socket serves as JSON.
package engine
