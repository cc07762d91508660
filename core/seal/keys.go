package seal

import (
	"encoding/binary"
	"fmt"

	"github.com/multilink-vpn/multilink/core"
)

const (
	ivSize     = 12
	maxKeySize = 32
	// exporterLabel needs no registration: RFC 5705 4 leaves labels that
	// begin with EXPERIMENTAL to private use.
	exporterLabel = "EXPERIMENTAL multilink/1 datagram keys"
)

// Exporter is the exporter of a TLS connection (RFC 8446 7.5): both ends get
// the same n bytes for the same label and context, and nobody else does.
type Exporter func(label string, context []byte, n int) ([]byte, error)

// Binding is what the keys of a link are for. Both ends must agree on every
// field, or they derive different keys.
type Binding struct {
	Suite Suite
	Link  core.LinkID
	// ClientIndex and ServerIndex are the receiver indices that the two ends
	// chose for this link and this control connection.
	ClientIndex, ServerIndex uint32
}

// Key seals or opens the datagrams of one link in one direction.
type Key struct {
	suite Suite
	key   [maxKeySize]byte
	iv    [ivSize]byte
}

// Suite returns the AEAD that the key is for.
func (k Key) Suite() Suite { return k.suite }

// String does not show the key.
func (k Key) String() string { return fmt.Sprintf("seal.Key(%s)", k.suite) }

// GoString does not show the key.
func (k Key) GoString() string { return k.String() }

// LinkKeys are the two keys of one link.
type LinkKeys struct {
	ClientToServer, ServerToClient Key
}

// Derive exports the keys of a link from its control connection. A new
// connection gives new keys, also for the same binding.
func Derive(export Exporter, b Binding) (LinkKeys, error) {
	info, ok := suites[b.Suite]
	if !ok {
		return LinkKeys{}, fmt.Errorf("derive keys: unknown %v", b.Suite)
	}
	context := []byte{byte(b.Suite), byte(b.Link)}
	context = binary.BigEndian.AppendUint32(context, b.ClientIndex)
	context = binary.BigEndian.AppendUint32(context, b.ServerIndex)
	each := info.keySize + ivSize
	material, err := export(exporterLabel, context, 2*each)
	if err != nil {
		return LinkKeys{}, fmt.Errorf("derive keys: %w", err)
	}
	if len(material) != 2*each {
		return LinkKeys{}, fmt.Errorf("derive keys: the exporter gave %d bytes instead of %d", len(material), 2*each)
	}
	return LinkKeys{
		ClientToServer: newKey(b.Suite, info.keySize, material[:each]),
		ServerToClient: newKey(b.Suite, info.keySize, material[each:]),
	}, nil
}

func newKey(s Suite, keySize int, material []byte) Key {
	k := Key{suite: s}
	copy(k.key[:], material[:keySize])
	copy(k.iv[:], material[keySize:])
	return k
}
