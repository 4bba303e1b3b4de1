package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An officialSealer seals and opens envelopes of version 1 by the official library,
// as a sealed.Sender and a sealed.Receiver do. What is inside one is put together
// and taken apart here.
type officialSealer struct {
	d           *officialDevice
	certificate []byte
	roots       [][]byte
}

func newOfficialSealer(d *officialDevice, c *sealed.SenderCertificate, roots []keys.VerifyKey) *officialSealer {
	s := &officialSealer{d: d, certificate: c.Bytes()}
	for _, k := range roots {
		s.roots = append(s.roots, k.Bytes())
	}
	return s
}

func (s *officialSealer) SealAll(hint sealed.Hint, group []byte) func(*session.Sending) error {
	return func(sending *session.Sending) error {
		for i := range sending.Results {
			r := &sending.Results[i]
			if r.Message == nil || r.Message.Type == session.TypeSealed {
				continue
			}
			content := wire.AppendSealedContent(nil, &wire.SealedContent{
				Type: wire.MessageType(r.Message.Type), Certificate: s.certificate, Content: r.Message.Bytes, Hint: uint32(hint), Group: group,
			})
			envelope, err := s.d.party.Seal(official(r.To), content)
			if err != nil {
				return err
			}
			r.Message = &session.Message{Type: session.TypeSealed, Bytes: envelope}
		}
		return nil
	}
}

func (s *officialSealer) Open(ctx context.Context, envelope []byte, at time.Time, _ *session.DecryptOptions) (*sealed.Received, error) {
	b, err := s.d.party.Unseal(envelope)
	if failed := (*interop.PeerError)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("%w: %w", session.ErrAuth, err)
	}
	if err != nil {
		return nil, err
	}
	content, err := wire.ParseSealedContent(b)
	if err != nil {
		return nil, err
	}
	c, err := sealed.ParseSenderCertificate(content.Certificate)
	if err != nil {
		return nil, err
	}
	switch valid, err := s.d.peer.ValidCertificate(content.Certificate, at, s.roots...); {
	case err != nil:
		return nil, err
	case !valid:
		return nil, &sealed.CertificateError{Reason: "untrusted"}
	}
	m := &session.Message{Type: session.MessageType(content.Type), Bytes: content.Content}
	out := &sealed.Received{
		From: session.Address{User: c.Claims().User, Device: c.Claims().Device}, Sender: c,
		Type: m.Type, Inner: m, Hint: sealed.Hint(content.Hint), Group: content.Group,
	}
	if m.Type == session.TypePlaintext {
		out.Retry = m
		return out, nil
	}
	out.Received, err = s.d.Decrypt(ctx, out.From, m, nil)
	return out, err
}
