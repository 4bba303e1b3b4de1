package hosting

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// carried says which records of a Device are in an archive, and as what. No
// other kind ever is: sessions, chains, prekeys and sender keys are of others.
var carried = [...]struct {
	kind, as string
	data     func(body []byte) (data []byte, at uint64, err error)
}{
	{"identity", typeIdentity, identityData},
	{"peer", typeDevice, deviceData},
	{"group", typeGroup, groupData},
	{kindHosting, typeLabel, labelData},
	{kindConsent, typeConsent, consentData},
}

// Device adds what d knows of others: their identity keys, those accepted and
// those the user compared ("identity", named by address), their devices
// ("device", by user), groups and their members ("group"), labels with their
// manifests ("label", by account), and the ledger of consents ("consent").
// ArchiveRecord.JSON makes them readable. There is no secret among it, no key of a session, chain, prekey or group, and
// no message: those are the app's to Write.
//
// Records are as they were at some moment of the call. Those that cannot be read
// are left out, and when all others are in the archive, the error is
// session.ErrCorrupt; the archive can go on. Other errors are those of the store
// and of Write.
func (w *ArchiveWriter) Device(ctx context.Context, d *session.Device) error {
	unreadable := 0
	for _, e := range carried {
		for rec, err := range d.List(ctx, e.kind) {
			var data []byte
			var at uint64
			if err == nil {
				data, at, err = e.data(rec.Value)
			} else if rec.Key.Kind == "" {
				return err
			}
			if err != nil {
				unreadable++
				continue
			}
			r := ArchiveRecord{Type: e.as, Name: recordName(rec.Key), Data: data}
			if at != 0 {
				r.Time = time.UnixMilli(int64(at))
			}
			if err = w.Write(&r); w.err != nil {
				return w.err
			}
			if err != nil {
				unreadable++
			}
		}
	}
	if unreadable > 0 {
		return fmt.Errorf("%w: %d records left out", session.ErrCorrupt, unreadable)
	}
	return nil
}

// recordName is the owner of a record, and behind a dot its name, if it has one:
// the last dot is that one. A name that is no text is written in hexadecimal.
func recordName(k keystore.Key) string {
	switch {
	case k.Name == "":
		return k.Owner
	case !utf8.ValidString(k.Name):
		return k.Owner + "." + hex.EncodeToString([]byte(k.Name))
	}
	return k.Owner + "." + k.Name
}

func identityData(body []byte) ([]byte, uint64, error) {
	id, err := wire.ParseIdentity(body)
	return wire.AppendIdentity(nil, &id), id.AcceptedAt, err
}

func deviceData(body []byte) ([]byte, uint64, error) {
	p, err := wire.ParsePeer(body)
	return wire.AppendPeer(nil, &p), p.ListedAt, err
}

// labelData is a label as it is kept, with the time since when it is in its state.
func labelData(body []byte) ([]byte, uint64, error) {
	w, err := wire.ParseHosting(body)
	if err != nil {
		return nil, 0, err
	}
	_, err = recordOf(w)
	return body, w.Since, err
}

// consentData is a line of the ledger as it is kept.
func consentData(body []byte) ([]byte, uint64, error) {
	c, err := wire.ParseConsent(body)
	if err != nil {
		return nil, 0, err
	}
	return body, c.When, nil
}

// groupData is who is in a group, without what became of the sender key.
func groupData(body []byte) ([]byte, uint64, error) {
	g, err := wire.ParseGroup(body)
	return wire.AppendGroup(nil, &wire.Group{Members: g.Members, ID: g.ID, Exclude: g.Exclude}), 0, err
}

// Account adds the account of d itself, its identity key pair included: who has
// that archive and its key can be this account. It is for recovery alone, and a
// call of its own: neither Device nor Write adds it.
func (w *ArchiveWriter) Account(d *session.Device) error {
	pair := d.IdentityKeyPair()
	record := wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{Public: pair.Public().Bytes(), Private: pair.PrivateBytes()})
	defer clear(record)
	self := wire.Self{Identity: record, User: d.Address().User, Device: d.Address().Device}
	data := wire.AppendSelf(nil, &self)
	defer clear(data)
	return w.add(&ArchiveRecord{Type: typeAccount, Name: d.Address().String(), Data: data})
}

// Account returns the account that a record of type "account" holds, which
// session.Create takes for a new and empty store. It has no registration id, so
// that one is drawn: peers learn by it that their sessions are gone. Errors are
// session.ErrMalformed and session.ErrTooLarge, also for a record of another
// type.
func (r *ArchiveRecord) Account() (session.Account, error) {
	if r.Type != typeAccount {
		return session.Account{}, fmt.Errorf("%w: record of another type", wire.ErrMalformed)
	}
	self, err := wire.ParseSelf(r.Data)
	if err != nil {
		return session.Account{}, err
	}
	rec, err := wire.ParseIdentityKeyPairRecord(self.Identity)
	if err != nil {
		return session.Account{}, err
	}
	pair, err := keys.NewIdentityKeyPair(rec.Private)
	if err != nil || string(pair.Public().Bytes()) != string(rec.Public) {
		return session.Account{}, fmt.Errorf("%w: identity key pair", wire.ErrMalformed)
	}
	a, err := session.Address{User: self.User, Device: self.Device}.Canonical()
	if err != nil {
		return session.Account{}, err
	}
	return session.Account{Address: a, Identity: pair}, nil
}
