// Command multilink is a VPN over several internet links at once: its client,
// its server, and what is needed to set them up and to watch them.
package main

import "os"

func main() { os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
