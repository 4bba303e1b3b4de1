package session

import "github.com/gembok-e2ee/gembok/internal/wire"

// A Claim is what a message says of hosting, beside what it is about: the
// hosting context and the signed manifest in its Content (gembok, Section 3). The
// zero value says nothing.
type Claim struct {
	// Epoch and Hash name the newest manifest of the own account; Epoch 0 is none.
	Epoch uint64
	Hash  [32]byte
	// SeenEpoch and SeenHash name the newest one that is held of the user who gets
	// the message; SeenEpoch 0 is none. They stay out of what is for several, or for
	// the own account.
	SeenEpoch uint64
	SeenHash  [32]byte
	// Manifest is the signed one of the own account, which goes along; nil does not.
	Manifest []byte
}

// context is the hosting context of a message to a user, "" for several or the
// own account; nil is none.
func (c *Claim) context(from Address, to string) *wire.HostingContext {
	seen := c.SeenEpoch != 0 && to != ""
	if c.Epoch == 0 && !seen {
		return nil
	}
	out := &wire.HostingContext{Sender: from.User, SenderDevice: from.Device, Recipient: to}
	if c.Epoch != 0 {
		out.Epoch, out.Hash = c.Epoch, c.Hash[:]
	}
	if seen {
		out.SeenEpoch, out.SeenHash = c.SeenEpoch, c.SeenHash[:]
	}
	return out
}

// withoutPeer returns a hosting context for a copy: without whom it was for, and
// what was seen of him; nil is one without more than that.
func withoutPeer(h *wire.HostingContext) *wire.HostingContext {
	if h == nil || h.Epoch == 0 {
		return nil
	}
	return &wire.HostingContext{Sender: h.Sender, SenderDevice: h.SenderDevice, Epoch: h.Epoch, Hash: h.Hash}
}

// claiming appends the encoding of a Content that says of hosting what the claim
// does, and nothing else. A copy for an own device says it in what it is a copy of,
// of which parseContent saw that it is no copy again.
func (d *Device) claiming(dst []byte, content *wire.Content, claim *Claim, to string) ([]byte, error) {
	out := *content
	if out.Hosting, out.Manifest = nil, nil; out.Sync == nil {
		out.Hosting, out.Manifest = claim.context(d.address, to), claim.Manifest
		return wire.AppendContent(dst, &out), nil
	}
	copied, err := wire.ParseContent(out.Sync.Content)
	if err != nil {
		return nil, err
	}
	inner := *copied
	inner.Hosting, inner.Manifest = claim.context(d.address, ""), claim.Manifest
	return append(dst, wrapSync(wire.AppendContent(nil, &inner), out.Sync.Recipient)...), nil
}

// recipient is whom a Claim for a user is for: "" is the own account.
func (d *Device) recipient(user string) string {
	if user == d.address.User {
		return ""
	}
	return user
}

// claims reports whether messages say something of hosting.
func (d *Device) claims() bool { return d.opts.Gate != nil && d.opts.Content }

// claim asks the gate what a message says of hosting; to is as in Gate.
func (t *Tx) claim(to string) (*Claim, error) {
	recs, err := t.gateRecords(to)
	if err != nil {
		return nil, err
	}
	t.relyOnGate()
	t.gating.claim = t.d.opts.Gate.Claim(t.gating.now, recs, to)
	return &t.gating.claim, nil
}

// maxContext is how long a hosting context is at most, in bytes, without the
// names in it.
const maxContext = 128

// outgoing returns what Encrypt encrypts of a plaintext, which outgoes read: with
// the gate's claim, and padded.
func (t *Tx) outgoing(peer Address, plaintext []byte, content *wire.Content) ([]byte, error) {
	if !t.d.claims() {
		return t.d.padded(plaintext), nil
	}
	to := t.d.recipient(peer.User)
	c, err := t.claim(to)
	if err != nil {
		return nil, err
	}
	n := len(plaintext) + maxContext + len(t.d.address.User) + len(to) + len(c.Manifest)
	out, err := t.d.claiming(make([]byte, 0, wire.PaddedSize(n)), content, c, to)
	if err != nil {
		return nil, err
	}
	return wire.Pad(out), nil
}
