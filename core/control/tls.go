package control

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// alpn is the application protocol that both ends must name (RFC 7301).
const alpn = "multilink/1"

// certificate makes the certificate that carries a key. Nobody checks
// anything in it but the key.
func certificate(key PrivateKey) (tls.Certificate, error) {
	signer := key.signer()
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		// RFC 5280 4.1.2.5: no well-defined end.
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, nil
}

// config is what both ends have in common: TLS 1.3, this protocol, keys
// instead of authorities, and no resumption, so that every connection proves
// its key and has an exporter of its own.
func config(cert tls.Certificate, verify func(PublicKey) error) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{cert},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert,
		// There is no authority and no name: VerifyConnection compares keys,
		// and the TLS handshake proves their possession.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != alpn {
				return fmt.Errorf("%w: it does not speak %q", ErrProtocol, alpn)
			}
			key, err := presented(cs)
			if err != nil {
				return err
			}
			return verify(key)
		},
	}
}

// presented returns the key that the peer proved to have.
func presented(cs tls.ConnectionState) (PublicKey, error) {
	if len(cs.PeerCertificates) == 0 {
		return PublicKey{}, fmt.Errorf("%w: it presented no certificate", ErrProtocol)
	}
	pub, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(pub) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: it presented a key of kind %v instead of Ed25519", ErrProtocol, cs.PeerCertificates[0].PublicKeyAlgorithm)
	}
	return PublicKey(pub), nil
}
