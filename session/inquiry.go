package session

import (
	"context"
	"errors"
	"slices"

	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A showing is what the Directory, or a bundle, shows as the manifest of a
// user; nil is that there is none.
type showing struct {
	user     string
	manifest []byte
}

// An inquiry is what an operation finds out of manifests, for a gate that is to
// see them. The zero value with a Device has found out nothing.
type inquiry struct {
	d      *Device
	judged map[string]bool  // of whom the gate said whether it wants the manifest
	asked  map[string]bool  // of whom the Directory was asked for it, or is to be
	wanted []string         // of whom it is to be asked now
	doubts map[string]error // why what came of it counts for nothing
}

// judge asks the gate, once, whether it wants the manifest of a user, whose
// records are loaded.
func (q *inquiry) judge(t *Tx, user string) error {
	if q.d.opts.Gate == nil || q.d.opts.Directory == nil || q.judged[user] {
		return nil
	}
	recs, err := t.gateRecords(user)
	if err != nil {
		return err
	}
	if q.judged == nil {
		q.judged = make(map[string]bool)
	}
	if q.judged[user] = true; q.d.opts.Gate.Wants(t.gating.now, recs, user) {
		q.want(user)
	}
	return nil
}

// want has the Directory be asked for the manifest of a user, once.
func (q *inquiry) want(user string) {
	if q.asked == nil {
		q.asked = make(map[string]bool)
	}
	if !q.asked[user] {
		q.asked[user], q.wanted = true, append(q.wanted, user)
	}
}

// run asks for what is wanted, and has the gate see it, and what came with
// bundles of these devices, in one commit. Of a bundle that has none, the
// Directory is asked, too. It takes no lock. The error is that of ctx, or of the
// store.
func (q *inquiry) run(ctx context.Context, peers []Address, offers map[Address]offer) error {
	if q.d.opts.Gate == nil {
		return nil
	}
	var shown []showing
	for _, peer := range peers {
		switch b := offers[peer].bundle; {
		case b == nil:
		case len(b.Manifest) > 0:
			shown = append(shown, showing{peer.User, b.Manifest})
		default:
			q.want(peer.User)
		}
	}
	users := q.wanted
	q.wanted = nil
	answers, err := q.ask(ctx, users)
	if err != nil {
		return err
	}
	return q.learn(ctx, append(answers, shown...))
}

// ask asks the Directory for the manifests of users; what it does not say is a
// doubt. The error is that of ctx.
func (q *inquiry) ask(ctx context.Context, users []string) (out []showing, err error) {
	found := make([][]byte, len(users))
	errs := q.d.consult(ctx, len(users), func(dir Directory, i int) error {
		signed, err := dir.Manifest(ctx, users[i])
		found[i] = slices.Clone(signed) // which the Directory may have another use for
		return err
	})
	for i, user := range users {
		if errs[i] != nil {
			q.doubt(user, &DirectoryError{User: user, Err: errs[i]})
			continue
		}
		if len(found[i]) == 0 {
			found[i] = nil
		}
		out = append(out, showing{user, found[i]})
	}
	return out, ctx.Err()
}

// doubt keeps a reason, if it is one.
func (q *inquiry) doubt(user string, err error) {
	if q.doubts == nil {
		q.doubts = make(map[string]error)
	}
	if q.doubts[user] = errors.Join(q.doubts[user], err); q.doubts[user] == nil {
		delete(q.doubts, user)
	}
}

// learn has the gate see what is shown.
func (q *inquiry) learn(ctx context.Context, shown []showing) error {
	if len(shown) == 0 {
		return nil
	}
	var users []string
	for _, s := range shown {
		users = append(users, s.user)
	}
	slices.Sort(users)
	users = slices.Compact(users)
	var doubts []error
	err := q.d.rerun(q.d.begin(ctx), func(t *Tx) error {
		doubts = make([]error, len(shown))
		err := t.load(q.d.withGateKeys(q.d.peerKeys(users), users)...)
		for i := 0; err == nil && i < len(shown); i++ {
			doubts[i], err = t.see(shown[i])
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, s := range shown {
		q.doubt(s.user, doubts[i])
	}
	return nil
}

// see shows the gate a manifest, and takes over what it makes of it. Doubt is
// why it does not believe it.
func (t *Tx) see(s showing) (doubt, err error) {
	recs, err := t.gateRecords(s.user)
	if err != nil {
		return nil, err
	}
	changes, events, doubt := t.d.opts.Gate.See(t.gating.now, recs, s.user, s.manifest)
	if len(changes)+len(events) > 0 {
		t.relyOnGate()
	}
	if err := t.adopt(s.user, changes); err != nil {
		return nil, err
	}
	for _, e := range events {
		if err := t.Emit(e); err != nil {
			return nil, err
		}
	}
	return doubt, nil
}

// seeBundle shows the gate the manifest of a user that a bundle has.
func (t *Tx) seeBundle(user string, b *x3dh.Bundle) error {
	if t.d.opts.Gate == nil || len(b.Manifest) == 0 {
		return nil
	}
	_, err := t.see(showing{user, b.Manifest})
	return err
}

// permit asks the gate before a message is encrypted. Beside a refusal stands
// why nothing newer is known.
func (q *inquiry) permit(t *Tx, to Address, identity keys.IdentityKey) error {
	err := t.mayTransmit(to, identity)
	if doubt := q.doubts[to.User]; err != nil && doubt != nil {
		err = errors.Join(err, doubt)
	}
	return err
}
