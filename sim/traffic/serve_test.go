package traffic

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestServe(t *testing.T) {
	w := newWire(t)
	const size = 1 << 20
	host := End{NS: w.host, Addr: netip.MustParseAddr("198.18.0.1")}
	services, err := Serve(context.Background(), host, 1, size)
	if err != nil {
		t.Fatal(err)
	}
	defer services.Stop()
	client := End{NS: w.client}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return client.dialTCP(ctx, netip.MustParseAddrPort(address), "")
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://198.18.0.1:80/anything")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("got %d bytes, %v; want %d", n, err, size)
	}
	conn, err := client.dialTCP(context.Background(), netip.MustParseAddrPort("198.18.0.1:53"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("a.test.", dns.TypeAAAA)); err != nil {
		t.Fatal(err)
	}
	reply, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Answer) != 1 || !reply.Answer[0].(*dns.AAAA).AAAA.Equal(addressOf("a.test.", true).AsSlice()) {
		t.Errorf("answer %v", reply.Answer)
	}
}
