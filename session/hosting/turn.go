package hosting

import (
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A turn is what one manifest or message comes to for one account. What it found
// is not changed.
type turn struct {
	g       *Gate
	now     time.Time
	user    string
	before  *profile // as it was stored
	profile          // as it will be
	device  uint32
	timer   *wire.Timer
	events  []session.Event
}

func (g *Gate) turn(now time.Time, user string, k *known) *turn {
	t := &turn{g: g, now: now, user: user, before: &k.profile, profile: k.profile}
	t.record = t.record.at(now)
	return t
}

// changes puts the record, if that is another one now: that time went by is no
// change.
func (t *turn) changes() []keystore.Change {
	before := *t.before
	if before.record = before.record.at(t.now); before == t.profile {
		return nil
	}
	return []keystore.Change{{Op: keystore.Put, Key: hostingKey(t.user), Value: t.profile.bytes()}}
}

// See takes in what the Directory or a bundle shows of a user; what is new of it
// is told in an event of kind session.LabelNotice, for Notice. Errors are those
// of what is not believed, or contested:
//
//	ErrLabelStripped           nothing is shown of an account that had a manifest
//	session.ErrMalformed,      no manifest
//	session.ErrTooLarge
//	ErrLabelMismatch           of another account; of another account key, or not after
//	                           the one before, which is state CONFLICT
//	ErrLabelStale              an older one; another one of the same epoch, which is
//	                           state CONFLICT
//	keys.ErrSignature, ErrManifestExpired, ErrSharedKeyAcrossControllers, ErrLabelText
//	ErrControllerChangedForKey state CONFLICT
//	session.ErrCorrupt         of the record, which stays as it is
//
// Of the own account, only a newer one under the same account key is taken: this
// Device's store was an old one.
func (g *Gate) See(now time.Time, records []keystore.Record, user string, manifest []byte) ([]keystore.Change, []session.Event, error) {
	k, err := g.read(records, user)
	if err != nil {
		return nil, nil, err
	}
	t := g.turn(now, user, k)
	newest := t.newest()
	if user == g.account {
		err = t.ownManifest(manifest, nil)
	} else {
		err = t.manifest(manifest, true)
	}
	if t.newest() == newest && k.wants(user == g.account, now) {
		t.asked = now
	}
	return t.changes(), t.events, err
}

// manifest takes in a manifest of another account. Fresh says that it should be the
// newest; one in a message may have been on its way for long.
func (t *turn) manifest(b []byte, fresh bool) error {
	var m *Manifest
	if len(b) > 0 {
		var err error
		if m, err = Parse(b); err != nil {
			t.warn(err)
			return err
		}
	}
	was := t.record
	next, n := t.record.see(t.user, m, t.now, &t.g.policy)
	t.record = next
	if next.newest() != was.newest() {
		t.unlisted = [2]uint64{}
	}
	switch {
	case next != was:
		t.tell(n, was.current, m)
	case !fresh && m != nil && m.Account == t.user && m.Epoch < was.epoch: // of a message that was in flight
	case n.err != nil:
		t.warn(n.err)
	}
	return n.err
}

// claim takes in what a message says of its sender's manifest.
func (t *turn) claim(epoch uint64, hash [32]byte) {
	was := t.record
	next, n := t.record.claims(epoch, hash, t.now)
	switch t.record = next; {
	case next != was:
		t.tell(n, was.current, nil)
	case n.err != nil:
		t.warn(n.err)
	}
}

// seen takes in what a message says of the manifest of the own account.
func (t *turn) seen(own *Manifest, epoch uint64, hash [32]byte) {
	switch ownSeen(own, epoch, hash) {
	case seenSame, seenBehind:
		t.told = epoch
	case seenAhead:
		t.warnOwn(ErrLabelStale)
	case seenOther:
		t.warnOwn(ErrLabelMismatch)
	}
}

// ownManifest takes in a manifest that somebody shows of the own account. Where
// there is none yet, it must be a device with the own identity key that shows it,
// which the manifest lists: its address and its key are given then. Anybody can
// take the name of one.
func (t *turn) ownManifest(b []byte, from *endpointID) error {
	if len(b) == 0 {
		return nil
	}
	m, err := Parse(b)
	if err != nil {
		return err
	}
	own := t.current
	switch {
	case own == nil && (from == nil || !from.in(m)), own != nil && own.Epoch == m.Epoch && own.Hash() == m.Hash():
		return nil
	case own == nil:
		err = ownShown(t.user, m.Key, nil, m)
	case m.Epoch < own.Epoch: // it takes time to get around
		return ErrLabelStale
	case m.Epoch == own.Epoch:
		err = t.ownFork(own, m)
	default:
		err = ownShown(t.user, own.Key, own, m)
	}
	if err != nil {
		t.warnOwn(err)
		return err
	}
	was := t.state
	t.record = t.record.becomes(m, t.now)
	t.emit(&wire.LabelNotice{Was: was.number(), State: t.state.number(), From: bytesOf(own), To: m.Bytes(), Own: true})
	return nil
}

// ownFork returns what is wrong with another manifest of the epoch of the own one.
// If it is authentic, two have the account's key.
func (t *turn) ownFork(own, m *Manifest) error {
	if err := ownShown(t.user, own.Key, nil, m); err != nil {
		return err
	}
	e := newEvidence(own, m)
	t.emit(&wire.LabelNotice{Was: t.state.number(), State: t.state.number(), From: own.Bytes(), To: m.Bytes(), Evidence: e.Bytes(), Reason: uint32(reasonOf(ErrLabelMismatch)), Own: true})
	return ErrLabelMismatch
}

// becomes returns the record of the own account with its newest manifest, which
// needs nobody's consent here.
func (r record) becomes(m *Manifest, now time.Time) record {
	return r.settles(m).enter(current, now).at(now)
}

// An endpointID is a device and its key.
type endpointID struct {
	device   uint32
	identity keys.IdentityKey
}

// in reports whether a manifest lists it.
func (id *endpointID) in(m *Manifest) bool {
	e := m.endpoint(id.device)
	return e != nil && e.Identity == id.identity
}

// Receive sees a message: the manifest in it, what it says of manifests, and
// whether the device that sent it is listed. All of that is in what Receipt returns
// of the message, and what is new in its events, for Notice. Whatever it says, it
// is delivered.
func (g *Gate) Receive(now time.Time, records []keystore.Record, from session.Address, identity keys.IdentityKey, plaintext []byte) ([]keystore.Change, []byte, []session.Event) {
	k, err := g.read(records, from.User)
	if err != nil {
		return nil, wire.AppendReceipt(nil, &wire.Receipt{Label: wire.Label{Unknown: true}}), nil
	}
	t := g.turn(now, from.User, k)
	t.device = from.Device
	sender := &endpointID{from.Device, identity}
	said := new(wire.HostingContext)
	if c, copied := content(plaintext); c != nil {
		said = t.message(c, copied, sender, records)
	}
	note := t.receipt(said, sender)
	return t.changes(), note, t.events
}

// content reads what a message says, and whether it is a copy for the own devices:
// only one with the identity key of this one can send that. It is nil where a
// message says nothing of hosting.
func content(plaintext []byte) (c *wire.Content, copied bool) {
	if plaintext == nil {
		return nil, false
	}
	c, err := wire.ParseContent(plaintext)
	if err == nil && c.Sync != nil {
		copied = true
		c, err = wire.ParseContent(c.Sync.Content)
	}
	if err != nil {
		return nil, false
	}
	return c, copied
}

// message takes in what a message says, and returns the context of it that counts.
func (t *turn) message(c *wire.Content, copied bool, sender *endpointID, records []keystore.Record) *wire.HostingContext {
	t.timer = c.Timer
	own := t.user == t.g.account
	switch {
	case len(c.Manifest) == 0:
	case own && copied:
		t.ownManifest(c.Manifest, sender) // what is wrong with it was told
	case own:
		t.ownManifest(c.Manifest, nil)
	default:
		t.manifest(c.Manifest, false)
	}
	h := c.Hosting
	switch {
	case h == nil:
		return new(wire.HostingContext)
	case !t.meant(h, sender.device):
		t.warn(ErrLabelMismatch)
		return new(wire.HostingContext)
	case own:
		t.seen(t.current, h.Epoch, hash32(h.Hash))
		return h
	}
	t.claim(h.Epoch, hash32(h.Hash))
	if h.Recipient == "" { // to a group or several
		return h
	}
	if k, err := t.g.read(records, t.g.account); err == nil {
		t.seen(k.current, h.SeenEpoch, hash32(h.SeenHash))
	}
	return h
}

// meant reports whether a context is of this sender, for this account, and whole.
func (t *turn) meant(h *wire.HostingContext, device uint32) bool {
	return h.Sender == t.user && h.SenderDevice == device && (h.Recipient == "" || h.Recipient == t.g.account) &&
		(h.Epoch == 0) == (len(h.Hash) == 0) && (h.SeenEpoch == 0) == (len(h.SeenHash) == 0) &&
		len(h.Hash)%32 == 0 && len(h.Hash) <= 32 && len(h.SeenHash)%32 == 0 && len(h.SeenHash) <= 32
}

func hash32(b []byte) (h [32]byte) {
	copy(h[:], b)
	return h
}

// named returns the manifest that a message named, if it is held.
func (t *turn) named(said *wire.HostingContext) *Manifest {
	for _, m := range t.record.held() {
		if said.Epoch != 0 && m.Epoch == said.Epoch && m.Hash() == hash32(said.Hash) {
			return m
		}
	}
	return nil
}

// receipt returns the note of a message, and tells of a device that is not listed,
// once.
func (t *turn) receipt(said *wire.HostingContext, sender *endpointID) []byte {
	l := t.record.label(t.now, &t.g.policy)
	r := &wire.Receipt{Label: *l.wire(), Epoch: said.Epoch, Hash: said.Hash}
	m := t.named(said)
	if m != nil {
		l := labelOf(t.g.policy.providers, m)
		r.Claimed = l.wire()
	} else {
		m = t.newest()
	}
	if r.Listed = m != nil && sender.in(m); !r.Listed && m != nil && (said.Epoch == 0 || said.Epoch == m.Epoch) {
		t.stray(sender)
	}
	return wire.AppendReceipt(nil, r)
}

// stray tells of a device that no manifest lists.
func (t *turn) stray(sender *endpointID) {
	for _, m := range t.record.held() {
		if sender.in(m) {
			return
		}
	}
	word, bit := sender.device/64%2, uint64(1)<<(sender.device%64)
	if t.unlisted[word]&bit != 0 {
		return
	}
	t.unlisted[word] |= bit
	t.emit(&wire.LabelNotice{Was: t.state.number(), State: t.state.number(), Reason: uint32(reasonOf(errUnlisted))})
}

// quiet is for how long the same warning of an account is not told again.
const quiet = time.Hour

// warn tells of what changed nothing, and warnOwn of what concerns the manifest of
// the own account.

func (t *turn) warn(err error) { t.alarm(err, false) }

func (t *turn) warnOwn(err error) { t.alarm(err, true) }

func (t *turn) alarm(err error, own bool) {
	why := reasonOf(err)
	if own {
		why |= ownReason
	}
	if since := t.now.Sub(t.warned); t.warning == why && since >= 0 && since < quiet {
		return
	}
	t.warning, t.warned = why, t.now
	t.emit(&wire.LabelNotice{Was: t.state.number(), State: t.state.number(), Reason: uint32(why &^ ownReason), Own: own})
}

// tell tells of what a rule made of a manifest, or of a message that named one.
func (t *turn) tell(n notice, agreed, shown *Manifest) {
	silent := n.was == n.state && n.err == nil && !n.gap && (n.diff == nil || !n.diff.IsWider() && !n.diff.Narrower.says())
	if silent {
		return
	}
	w := &wire.LabelNotice{Was: n.was.number(), State: n.state.number(), From: bytesOf(agreed), To: bytesOf(shown), Gap: n.gap, Reason: uint32(reasonOf(n.err))}
	if n.evidence != nil {
		w.Evidence = n.evidence.Bytes()
	}
	t.emit(w)
}

// emit adds an event with the timer of the message that brought it.
func (t *turn) emit(n *wire.LabelNotice) {
	n.Timer = t.timer
	t.events = append(t.events, session.Event{Kind: session.LabelNotice, Address: session.Address{User: t.user, Device: t.device},
		Note: wire.AppendLabelNotice(nil, n)})
}

// bytesOf is the encoding of a manifest, none of nil.
func bytesOf(m *Manifest) []byte {
	if m == nil {
		return nil
	}
	return m.Bytes()
}
