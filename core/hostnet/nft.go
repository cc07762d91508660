package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is the name of the nftables table for a TUN device, in family
// inet.
func tableName(tun string) string { return "multilink-" + tun }

// nftChange makes an nftables table of the tunnel's own, in one transaction.
type nftChange struct {
	Table string `json:"table"`
	// Guard says that the table has to outlive its process until the next one
	// takes over: it holds a kill switch, or it masquerades. Without a table
	// that translates addresses the kernel stops to track connections, and
	// packets of those that went on meanwhile are no longer translated: a
	// server's restart would end every connection through it.
	Guard bool `json:"guard,omitempty"`
	// Adopted says that the table there is was left by this tunnel's last
	// process and is to be replaced.
	Adopted bool `json:"-"`
	// fill adds the chains and rules.
	fill func(*nftables.Conn, *nftables.Table) error
}

func (c *nftChange) kind() string   { return "nftables" }
func (c *nftChange) outlives() bool { return false }
func (c *nftChange) String() string { return "nftables table inet " + c.Table }

func (c *nftChange) prepare(*env) (bool, error) {
	if c.Adopted {
		return true, nil
	}
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("hostnet: nftables: %w", err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("hostnet: list nftables tables: %w", err)
	}
	for _, table := range tables {
		if table.Name == c.Table {
			return false, fmt.Errorf("hostnet: %v exists and is not ours: %w", c, ErrTaken)
		}
	}
	return true, nil
}

func (c *nftChange) do(*env) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("hostnet: nftables: %w", err)
	}
	if c.Adopted {
		// Adding it first makes the deletion succeed in any case.
		conn.DelTable(conn.AddTable(&nftables.Table{Name: c.Table, Family: nftables.TableFamilyINet}))
	}
	table := conn.AddTable(&nftables.Table{Name: c.Table, Family: nftables.TableFamilyINet})
	if err := c.fill(conn, table); err != nil {
		return fmt.Errorf("hostnet: make %v: %w", c, err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("hostnet: make %v: %w", c, err)
	}
	return nil
}

func (c *nftChange) undo(*env) (outcome, error) {
	conn, err := nftables.New()
	if err != nil {
		return gone, fmt.Errorf("hostnet: nftables: %w", err)
	}
	conn.DelTable(&nftables.Table{Name: c.Table, Family: nftables.TableFamilyINet})
	err = conn.Flush()
	if errors.Is(err, unix.ENOENT) {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("hostnet: remove %v: %w", c, err)
	}
	return undone, nil
}

// Pieces of rules. Each leaves what it compares in register 1.

// accept and drop end a rule; reject answers that the way is prohibited.
func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }
func drop() expr.Any   { return &expr.Verdict{Kind: expr.VerdictDrop} }
func reject() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}
}

// rule joins pieces.
func rule(pieces ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, piece := range pieces {
		all = append(all, piece...)
	}
	return all
}

func then(verdict expr.Any) []expr.Any { return []expr.Any{verdict} }

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// interfaceName pads a name the way the kernel compares it.
func interfaceName(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

func notFrom(name string) []expr.Any {
	return meta(expr.MetaKeyIIFNAME, expr.CmpOpNeq, interfaceName(name))
}

func outBy(name string) []expr.Any {
	return meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, interfaceName(name))
}

func notOutBy(name string) []expr.Any {
	return meta(expr.MetaKeyOIFNAME, expr.CmpOpNeq, interfaceName(name))
}

func outByAny(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
	}
}

func marked(mark uint32) []expr.Any {
	return meta(expr.MetaKeyMARK, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(mark))
}

// payload compares bytes of the packet.
func payload(base expr.PayloadBase, offset uint32, data ...byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(data))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data},
	}
}

// Offsets of the addresses in the IP headers (RFC 791, RFC 8200).
type addressField struct{ v4, v6 uint32 }

var (
	source      = addressField{v4: 12, v6: 8}
	destination = addressField{v4: 16, v6: 24}
)

// within compares an address of the packet with a prefix.
func within(field addressField, prefix netip.Prefix) []expr.Any {
	proto, offset := byte(unix.NFPROTO_IPV4), field.v4
	if prefix.Addr().Is6() {
		proto, offset = unix.NFPROTO_IPV6, field.v6
	}
	network := toIPNet(prefix.Masked())
	size := uint32(len(network.IP))
	return append(meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{proto}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: network.Mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: network.IP})
}

// udp compares both ports.
func udp(sport, dport uint16) []expr.Any {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, sport), dport)
	return append(meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{unix.IPPROTO_UDP}),
		payload(expr.PayloadBaseTransportHeader, 0, ports...)...)
}
