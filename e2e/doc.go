// Package e2e tests the real binaries, from outside: every scenario of the
// testbed, and what its language has no word for. It has tests only.
//
// The specs build small networks of their own out of network namespaces (see
// network_test.go), start the client and the server there, and watch what the
// machines' kernels, the programs' status and their logs say. Nothing of the
// machine that runs the suite is touched.
//
// The binaries are taken from $MULTILINK_BIN, a folder, or from ../bin. What a
// failed spec leaves, such as logs, results and captures, stays in a folder
// that the suite prints; $MULTILINK_E2E_DIR says where such folders are made.
package e2e
