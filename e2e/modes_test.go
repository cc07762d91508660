package e2e

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The fast and the portable ways", func() {
	const size = 8 << 20

	DescribeTable("carry the same bytes both ways",
		func(client, server string) {
			b := newBench(1, 2)
			for p, mode := range map[*program]string{b.clients[0]: client, b.server: server} {
				p.set(keys{"tun": keys{"mode": mode}, "underlay": keys{"mode": mode}})
			}
			b.start()
			ours, its := b.clients[0].status(), b.server.status()
			Expect(ours.TUN.Mode).To(Equal(client))
			Expect(its.TUN.Mode).To(Equal(server))
			for _, l := range ours.Links {
				Expect(l.Underlay.Mode).To(Equal(client), l.Name)
			}
			for _, host := range []string{host4, host6} {
				transfer(b.clients[0].on, b.router, host, size)
			}
			for who, s := range map[string]status{"client": b.clients[0].status(), "server": b.server.status()} {
				for _, counter := range []string{"drop_auth", "drop_malformed", "drop_header"} {
					Expect(s.Counters[counter]).To(BeZero(), "%s of the %s", counter, who)
				}
			}
		},
		func(client, server string) string { return fmt.Sprintf("%s client, %s server", client, server) },
		Entry(nil, "fast", "fast"),
		Entry(nil, "portable", "portable"),
		Entry(nil, "fast", "portable"),
		Entry(nil, "portable", "fast"),
	)
})
