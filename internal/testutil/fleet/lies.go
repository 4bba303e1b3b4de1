package fleet

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A lie is what a line is told in place of the truth, during one operation.
// The zero lie is the truth.
type lie struct {
	kind   string
	user   string // whom it is about
	device uint32 // 0: all of them
	n      int    // which one of its kind
}

// The lies. Those of dropped, doubled, reordered, late and replayed messages
// are told at a delivery.
const (
	listFails       = "list: error"
	listHangs       = "list: hangs"
	listPanics      = "list: panics"
	listTimesOut    = "list: timed out itself"
	listOld         = "list: old"
	listExtra       = "list: a device that is not there"
	listGhost       = "list: a device that the server made up"
	listMissing     = "list: a device missing"
	listEmpty       = "list: empty"
	listWrongID     = "list: wrong registration id"
	listMalformed   = "list: malformed"
	bundleFails     = "bundle: error"
	bundleHangs     = "bundle: hangs"
	bundlePanics    = "bundle: panics"
	bundleNone      = "bundle: none, and no error"
	bundleUser      = "bundle: another user's"
	bundleDevice    = "bundle: another device's"
	bundleSignature = "bundle: bad signature"
	bundleWrongID   = "bundle: wrong registration id"
	bundleBadID     = "bundle: registration id out of range"
	bundleTwice     = "bundle: handed out before"
	judgesByOldList = "submit: judged by an old list"
	saysExtra       = "submit: a good device is extra"
	saysMissing     = "submit: a device that is not there is missing"
	saysStale       = "submit: a good device is stale"
	saysNonsense    = "submit: malformed difference"
	saysAll         = "submit: never satisfied"
)

var lies = []string{
	listFails, listHangs, listPanics, listTimesOut, listOld, listExtra, listGhost, listMissing, listEmpty, listWrongID, listMalformed,
	bundleFails, bundleHangs, bundlePanics, bundleNone, bundleUser, bundleDevice, bundleSignature, bundleWrongID, bundleBadID, bundleTwice,
	judgesByOldList, saysExtra, saysMissing, saysStale, saysNonsense, saysAll,
}

// ghost is the device id of those that the server makes up.
const ghost = 66

func (l *lie) aboutList(user string) bool {
	return len(l.kind) > 4 && l.kind[:4] == "list" && l.user == user
}

func (l *lie) aboutBundle(a session.Address) bool {
	return len(l.kind) > 6 && l.kind[:6] == "bundle" && l.user == a.User && (l.device == 0 || l.device == a.Device)
}

// lied counts a lie that was told.
func (l *line) lied(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lies[kind]++
}

// trouble is what a call comes to that is not answered.
func (l *line) trouble(ctx context.Context, about bool) error {
	if !about {
		return ctx.Err()
	}
	l.lied(l.lie.kind)
	switch l.lie.kind {
	case listFails, bundleFails:
		return errServer
	case listTimesOut:
		return context.DeadlineExceeded
	case listPanics, bundlePanics:
		panic("fleet: a Directory that panics")
	case listHangs, bundleHangs:
		l.hung()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(aWhile):
			return nil // and the test finds it
		}
	}
	return nil
}

// falseList is what is said of a user's devices.
func (s *server) falseList(l *lie, user string, list []session.PeerDevice) []session.PeerDevice {
	out := slices.Clone(list)
	last := &session.PeerDevice{}
	if len(out) > 0 {
		last = &out[len(out)-1]
	}
	switch l.kind {
	case listOld:
		out = slices.Clone(s.old[user])
	case listExtra:
		out = append(out, session.PeerDevice{Device: 99, RegistrationID: 99})
	case listGhost:
		out = append(out, session.PeerDevice{Device: ghost, RegistrationID: s.ghost(user).RegistrationID})
	case listMissing:
		out = out[:max(0, len(out)-1)]
	case listEmpty:
		out = nil
	case listWrongID:
		last.RegistrationID = last.RegistrationID%16380 + 1
	case listMalformed:
		out = malformed(l.n, out, *last)
	}
	return out
}

// malformed makes a list that is none, in one of several ways.
func malformed(n int, list []session.PeerDevice, last session.PeerDevice) []session.PeerDevice {
	d := session.PeerDevice{Device: 77, RegistrationID: 77}
	switch n % 8 {
	case 0:
		d.Device = 0
	case 1:
		d.Device = 128
	case 2:
		d.Device = 1<<32 - 1
	case 3:
		d.RegistrationID = 0
	case 4:
		d.RegistrationID = 16381
	case 5:
		d = last // once more
		d.RegistrationID++
	case 6:
		d = session.PeerDevice{}
	case 7:
		for id := range uint32(128) {
			list = append(list, session.PeerDevice{Device: id + 1, RegistrationID: 1})
		}
	}
	return append(list, d)
}

// ghost returns the prekeys of the device that the server makes up for a user.
func (s *server) ghost(user string) *x3dh.Publication {
	if s.ghosts[user] == nil {
		d, err := session.Create(background, memory(), session.Account{Address: session.Address{User: user, Device: ghost}}, nil)
		must(err)
		p, err := d.Publish(background)
		must(err)
		s.ghosts[user] = p
	}
	return s.ghosts[user]
}

// falseBundle is what is handed out in place of b.
func (s *server) falseBundle(l *lie, peer session.Address, b *x3dh.Bundle, owner *handset, err error) (*x3dh.Bundle, *handset, error) {
	if err != nil {
		return b, owner, err
	}
	switch c := *b; l.kind {
	case bundleNone:
		return nil, owner, nil
	case bundleUser, bundleDevice:
		other := s.other(peer, l.kind == bundleUser)
		if other == (session.Address{}) {
			return b, owner, nil
		}
		c = *s.entries[other].pub.Take()
		if l.kind == bundleUser { // and made to look right
			c.DeviceID, c.RegistrationID = peer.Device, b.RegistrationID
		}
		return &c, s.entries[other].h, nil
	case bundleSignature:
		c.SignedPreKey.Signature, c.KEMPreKey.Signature = slices.Clone(c.SignedPreKey.Signature), slices.Clone(c.KEMPreKey.Signature)
		[][]byte{c.SignedPreKey.Signature, c.KEMPreKey.Signature}[l.n%2][7] ^= 4
		return &c, owner, nil
	case bundleWrongID:
		c.RegistrationID = c.RegistrationID%16380 + 1
		return &c, owner, nil
	case bundleBadID:
		c.RegistrationID = []uint32{0, 16381, 1 << 31}[l.n%3]
		return &c, owner, nil
	case bundleTwice:
		if e := s.entries[peer]; e != nil && b.PreKey != nil { // the next one gets it, too
			e.pub.PreKeys = append([]x3dh.PreKey{*b.PreKey}, e.pub.PreKeys...)
			if !b.LastResort {
				e.pub.KEMPreKeys = append([]x3dh.KEMPreKey{b.KEMPreKey}, e.pub.KEMPreKeys...)
			}
		}
	}
	return b, owner, nil
}

// other is a device of another user, or another device of this one.
func (s *server) other(peer session.Address, user bool) session.Address {
	var all []session.Address
	for a := range s.entries {
		if user && a.User != peer.User || !user && a.User == peer.User && a.Device != peer.Device {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, compare)
	if len(all) == 0 {
		return session.Address{}
	}
	return all[0]
}

// falsely adds to what is said of a Sending.
func falsely(l *line, p *parcel, said []session.Difference) []session.Difference {
	at := slices.IndexFunc(p.results, func(r session.Result) bool { return r.Message != nil && r.To.User == l.lie.user })
	if at < 0 {
		return said
	}
	d := session.Difference{User: l.lie.user}
	good := p.results[at].To.Device
	switch l.lie.kind {
	case saysExtra:
		d.Extra = []uint32{good}
	case saysMissing:
		d.Missing = []uint32{98}
	case saysStale, saysAll:
		d.Stale = []uint32{good}
	case saysNonsense:
		d = nonsense(l.lie.n, d, good)
	default:
		return said
	}
	l.lied(l.lie.kind)
	if l.lie.kind != saysAll {
		l.lie = lie{}
	}
	return merged(said, d)
}

// merged adds d to what is said of its user.
func merged(said []session.Difference, d session.Difference) []session.Difference {
	for i := range said {
		if s := &said[i]; s.User == d.User {
			s.Missing, s.Extra = append(s.Missing, d.Missing...), append(s.Extra, d.Extra...)
			if len(d.Stale) != 1 || !slices.Contains(slices.Concat(s.Stale, s.Extra, s.Missing), d.Stale[0]) {
				s.Stale = append(s.Stale, d.Stale...)
			}
			return said
		}
	}
	return append(said, d)
}

// nonsense makes a Difference that is none, in one of several ways.
func nonsense(n int, d session.Difference, good uint32) session.Difference {
	switch n % 7 {
	case 0:
		d.Missing = []uint32{0}
	case 1:
		d.Missing = []uint32{128}
	case 2:
		d.Extra = []uint32{1<<32 - 1}
	case 3:
		d.Stale = []uint32{good, good}
	case 4:
		d.Stale, d.Extra = []uint32{good}, []uint32{good}
	case 5:
		d.User, d.Missing = "whoever", []uint32{1}
	case 6:
		for id := range uint32(200) {
			d.Missing = append(d.Missing, id+1)
		}
	}
	return d
}

// invent draws a lie about one of users.
func invent(r *rand.Rand, users []string) lie {
	return lie{kind: lies[r.IntN(len(lies))], user: users[r.IntN(len(users))], n: r.IntN(1 << 20)}
}
