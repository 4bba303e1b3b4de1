package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An operation is one call of a device, on a store that is as setup left it.
type operation struct {
	name string
	// setup returns the store of the device that run is about, and run.
	setup func(t *testing.T) (*side, func(ctx context.Context, d *session.Device, s keystore.Store) error)
}

// on is a run that needs the device alone.
func on(f func(ctx context.Context, d *session.Device) error) func(context.Context, *session.Device, keystore.Store) error {
	return func(ctx context.Context, d *session.Device, _ keystore.Store) error { return f(ctx, d) }
}

// reading is the run that reads m.
func reading(m *session.Message) func(context.Context, *session.Device, keystore.Store) error {
	return on(func(ctx context.Context, d *session.Device) error {
		_, err := d.Decrypt(ctx, aliceAddress, m, nil)
		return err
	})
}

type run = func(context.Context, *session.Device, keystore.Store) error

var operations = []operation{
	{"Create", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, func(ctx context.Context, _ *session.Device, s keystore.Store) error {
			_, err := session.Create(ctx, s, session.Account{Address: aliceAddress}, p.bob.opts)
			return err
		}
	}},
	{"Open", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, func(ctx context.Context, _ *session.Device, s keystore.Store) error {
			d, err := session.Open(ctx, s, bobAddress, p.bob.opts)
			if err != nil && d != nil {
				return errors.New("a device beside the error")
			}
			return err
		}
	}},
	{"Publish", func(t *testing.T) (*side, run) {
		p := strangers(t)
		_, err := p.bob.Publish(ctx)
		require.NoError(t, err)
		for i := range uint32(3) { // some are used up
			p.bob.removeKey(t, "prekey", 10+i)
			p.bob.removeKey(t, "kem", 20+i)
		}
		return p.bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Publish(ctx); return err })
	}},
	{"MarkPublished", func(t *testing.T) (*side, run) {
		p := strangers(t)
		publication, err := p.bob.Publish(ctx)
		require.NoError(t, err)
		publication.PreKeys, publication.KEMPreKeys = publication.PreKeys[:3], publication.KEMPreKeys[:3]
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.MarkPublished(ctx, publication) })
	}},
	{"Bundle", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Bundle(ctx); return err })
	}},
	{"Begin", func(t *testing.T) (*side, run) {
		p := strangers(t)
		b := bundleOf(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Begin again", func(t *testing.T) (*side, run) {
		p := friends(t)
		b := bundleOf(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Encrypt", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			m, err := d.Encrypt(ctx, aliceAddress, []byte("text"))
			if err != nil && m != nil {
				return errors.New("a ciphertext beside the error")
			}
			return err
		})
	}},
	{"Encrypt first", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.bob.begin(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Encrypt(ctx, aliceAddress, []byte("text"))
			return err
		})
	}},
	{"Decrypt first", func(t *testing.T) (*side, run) {
		p := met(t)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, accepted before", func(t *testing.T) (*side, run) {
		p := met(t)
		require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, last resort", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.alice.beginLastResort(t, p.bob)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, other key", func(t *testing.T) (*side, run) {
		p := friends(t)
		other := newSide(t, aliceAddress, nil, p.alice.opts)
		other.begin(t, p.bob)
		return p.bob, reading(other.send(t, p.bob, "text"))
	}},
	{"Decrypt renewal", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.alice.begin(t, p.bob)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt second", func(t *testing.T) (*side, run) {
		p := met(t)
		p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "1"), "1")
		return p.bob, reading(p.alice.send(t, p.bob, "2"))
	}},
	{"Decrypt", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt archived", func(t *testing.T) (*side, run) {
		p, ends := many(t, 5)
		return p.bob, reading(says(t, ends[1], "text"))
	}},
	{"AcceptIdentity", func(t *testing.T) (*side, run) {
		p := friends(t)
		other := newSide(t, aliceAddress, nil, p.alice.opts)
		other.begin(t, p.bob)
		p.bob.reads(t, other, other.send(t, p.bob, "text"), "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.AcceptIdentity(ctx, aliceAddress, other.Identity())
		})
	}},
	{"AcceptIdentity in advance", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.AcceptIdentity(ctx, aliceAddress, p.alice.Identity())
		})
	}},
	{"PeerIdentity", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.PeerIdentity(ctx, aliceAddress)
			return err
		})
	}},
	{"Archive", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Archive(ctx, aliceAddress) })
	}},
	{"ExportSession", func(t *testing.T) (*side, run) {
		p, _ := many(t, 4)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.ExportSession(ctx, aliceAddress)
			return err
		})
	}},
	{"ImportSession", func(t *testing.T) (*side, run) {
		p, _ := many(t, 4)
		record, err := p.bob.ExportSession(ctx, aliceAddress)
		require.NoError(t, err)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.ImportSession(ctx, aliceAddress, record) })
	}},
	{"ImportSession of one", func(t *testing.T) (*side, run) {
		p := friends(t)
		record, err := p.bob.ExportSession(ctx, aliceAddress)
		require.NoError(t, err)
		p.bob.forget(t, aliceAddress.User)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.ImportSession(ctx, aliceAddress, record) })
	}},
	{"Begin anew", func(t *testing.T) (*side, run) {
		p := friends(t)
		b := bundleOf(t, p.alice)
		p.bob.forget(t, aliceAddress.User)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Decrypt large", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, reading(p.alice.send(t, p.bob, large))
	}},
	{"Decrypt again", func(t *testing.T) (*side, run) {
		p := friends(t)
		m := p.alice.send(t, p.bob, large)
		p.bob.reads(t, p.alice, m, large)
		return p.bob, reading(m)
	}},
	{"Acknowledge", func(t *testing.T) (*side, run) {
		p := friends(t)
		r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "text"), "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Acknowledge(ctx, r) })
	}},
	{"Acknowledge large", func(t *testing.T) (*side, run) {
		p := friends(t)
		r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, large), large)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Acknowledge(ctx, r) })
	}},
	{"Unacknowledged", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.bob.reads(t, p.alice, p.alice.send(t, p.bob, large), large)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			for r, err := range d.Unacknowledged(ctx) {
				if err != nil && r != nil {
					return errors.New("a message beside the error")
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"Events", func(t *testing.T) (*side, run) {
		p := friends(t)
		emit(t, p.bob, aliceAddress)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			for _, err := range d.Events(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"AcknowledgeEvents", func(t *testing.T) (*side, run) {
		p := friends(t)
		e := emit(t, p.bob, aliceAddress)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.AcknowledgeEvents(ctx, e) })
	}},
	{"Update", func(t *testing.T) (*side, run) {
		p := friends(t)
		m := p.alice.send(t, p.bob, "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) error {
				if _, err := tx.Decrypt(aliceAddress, m, nil); err != nil {
					return err
				}
				if _, err := tx.Encrypt(aliceAddress, []byte("answer")); err != nil {
					return err
				}
				if err := tx.Put(keystore.Key{Kind: "draft", Owner: aliceAddress.User}, []byte("app")); err != nil {
					return err
				}
				return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: aliceAddress})
			})
		})
	}},
	{"Update of a feature", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.Update(ctx, nil, func(tx *session.Tx) error {
				if _, err := tx.Staged(aliceAddress, []byte("inner")); err != nil {
					return err
				}
				if err := tx.Late(aliceAddress, []byte("inner"), nil); err != nil {
					return err
				}
				if err := tx.Check(draft); err != nil {
					return err
				}
				r := &session.Received{From: aliceAddress, Identity: p.alice.Identity(), Plaintext: []byte(large)}
				return tx.Stage(r, []byte("inner"))
			})
		})
	}},
	{"Begin at a gate", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.bob.hears(t)
		b := bundleOf(t, p.alice)
		b.Manifest = []byte("theirs")
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Decrypt at a gate", func(t *testing.T) (*side, run) {
		p := friends(t)
		gated := *p.bob.opts
		gated.Gate = toll{t}
		p.bob.opts = &gated
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Encrypt at a gate", func(t *testing.T) (*side, run) {
		p := friends(t)
		gated := *p.bob.opts
		gated.Gate = toll{t}
		p.bob.opts = &gated
		pay(t, p.bob, aliceAddress.User)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Encrypt(ctx, aliceAddress, []byte("text"))
			return err
		})
	}},
}

// large is a plaintext that is staged as a record of its own.
var large = strings.Repeat("0123456789", 500)

// emit has s store an event about a peer.
func emit(t testing.TB, s *side, about session.Address) session.Event {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: about})
	}))
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		return e
	}
	t.Fatal("no event")
	return session.Event{}
}
