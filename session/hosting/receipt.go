package hosting

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Receipt is what was known of the sender of a message when it came. The zero
// value is of none.
type Receipt struct {
	// Label is that at receipt, with what the message itself brought. It has no State
	// where the record of the sender could not be read.
	Label Label
	// Claimed is what the manifest says that the message named, without a State; nil
	// where it named none, or one that this Device does not have.
	Claimed *Label
	// Epoch and Hash are those of the manifest that it named, zero of none.
	Epoch uint64
	Hash  [32]byte
	// Listed says that the manifest it named, or else the newest one, lists the
	// device that sent it with its key.
	Listed bool
}

// Receipt returns what was known when a message came: from a session, to a group
// or sealed. Errors are session.ErrMalformed, also for a message that no Gate saw,
// and session.ErrTooLarge.
func (g *Gate) Receipt(r *session.Received) (*Receipt, error) {
	if r == nil || len(r.Note) == 0 {
		return nil, fmt.Errorf("%w: message that no gate saw", wire.ErrMalformed)
	}
	w, err := wire.ParseReceipt(r.Note)
	if err != nil {
		return nil, err
	}
	out := &Receipt{Epoch: w.Epoch, Listed: w.Listed}
	copy(out.Hash[:], w.Hash)
	if out.Label, err = labelIn(&w.Label); err != nil {
		return nil, err
	}
	if w.Claimed != nil {
		l, err := labelIn(w.Claimed)
		if err != nil {
			return nil, err
		}
		out.Claimed = &l
	}
	return out, nil
}

// wire is a Label as it is stored, and labelIn reads it.
func (l *Label) wire() *wire.Label {
	w := &wire.Label{Unknown: l.Unknown, Readers: uint32(l.Readers.bits()), Uses: uint32(l.Uses.bits())}
	if l.State != "" {
		w.State = l.State.number()
	}
	for _, c := range l.Controllers {
		w.Controllers = append(w.Controllers, byte(c))
	}
	for _, s := range l.Storage {
		w.Storage = append(w.Storage, byte(s))
	}
	for i := range l.Parties {
		p := &l.Parties[i]
		w.Parties = append(w.Parties, wire.Party{Name: p.Name, Domain: p.Domain, Key: p.Key.Bytes(), Controller: uint32(p.Controller), Known: p.Known, Mixed: p.Mixed})
	}
	return w
}

func labelIn(w *wire.Label) (Label, error) {
	l := Label{State: stateOf(w.State), Unknown: w.Unknown, Readers: readersOf(w.Readers), Uses: usesOf(w.Uses)}
	for _, c := range w.Controllers {
		l.Controllers = append(l.Controllers, Controller(c))
	}
	for _, s := range w.Storage {
		l.Storage = append(l.Storage, Storage(s))
	}
	for _, p := range w.Parties {
		key, err := keys.ParseIdentityKey(p.Key)
		if err != nil {
			return Label{}, fmt.Errorf("%w: key of a party: %w", wire.ErrMalformed, err)
		}
		l.Parties = append(l.Parties, Party{Provider: Provider{Name: p.Name, Domain: p.Domain, Key: key}, Controller: Controller(p.Controller), Known: p.Known, Mixed: p.Mixed})
	}
	return l, nil
}
