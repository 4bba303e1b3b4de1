package person

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// How a business moves to a provider. No private key moves: the provider makes a
// device with a key of its own, and says that it operates it for that account. That
// is an offer, which the business takes by putting it into its next manifest. From
// then on whoever writes to the business is told, and asked.

// An offer is an endpoint as it travels from the provider to the business. Whose
// offer it is the business has to know from elsewhere: whoever takes one
// without looking is hosted by a stranger.
type offer struct {
	Device            uint32    `json:"device"`
	Identity          []byte    `json:"identity"`
	Name              string    `json:"name"`
	Domain            string    `json:"domain"`
	Key               []byte    `json:"key"`
	NotAfter          time.Time `json:"notAfter"`
	Signature         []byte    `json:"signature"`
	ProviderSignature []byte    `json:"providerSignature"`
}

// endpoint returns what the offer is about.
func (o *offer) endpoint() (hosting.Endpoint, error) {
	e := (&Role{Host: o.Name}).endpoint()
	e.Device, e.NotAfter, e.Signature, e.ProviderSignature = o.Device, o.NotAfter, o.Signature, o.ProviderSignature
	e.Provider = &hosting.Provider{Name: o.Name, Domain: o.Domain}
	var err error
	if e.Identity, err = keys.ParseIdentityKey(o.Identity); err == nil {
		e.Provider.Key, err = keys.ParseIdentityKey(o.Key)
	}
	return e, err
}

// code is the offer as text.
func (o *offer) code() (string, error) {
	b, err := json.Marshal(o)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// ErrOffer is that a text is no offer.
var ErrOffer = fmt.Errorf("%w: that is not the text that the provider's device shows", post.ErrBad)

func parseOffer(code string) (*offer, error) {
	o := new(offer)
	b, err := base64.RawURLEncoding.DecodeString(code)
	if err != nil || json.Unmarshal(b, o) != nil {
		return nil, ErrOffer
	}
	return o, nil
}

// offers makes the offer of this device, which a provider operates, for the
// account under that key.
func (p *Person) offers(account keys.IdentityKey) (*offer, error) {
	key, err := keys.NewIdentityKeyPair(p.role.HostKey)
	if err != nil {
		return nil, err
	}
	e := p.role.endpoint()
	e.Device, e.Identity, e.NotAfter = p.me.Device, p.device.Identity(), time.Now().Add(acceptedFor).Truncate(time.Second)
	e.Provider = &hosting.Provider{Name: p.role.Host, Domain: p.role.Domain, Key: key.Public()}
	if err := e.Accept(p.me.User, account, p.own.IdentityKeyPair()); err != nil {
		return nil, err
	}
	if err := e.Operate(p.me.User, account, key); err != nil {
		return nil, err
	}
	return &offer{
		Device: e.Device, Identity: e.Identity.Bytes(), Name: e.Provider.Name, Domain: e.Provider.Domain, Key: key.Public().Bytes(),
		NotAfter: e.NotAfter, Signature: e.Signature, ProviderSignature: e.ProviderSignature,
	}, nil
}

// apply shows the offer of this device until the business has taken it: before
// that, nobody hears of the device. The key of the account, as a stand-in for a
// contract, is that of the manifest which the relay shows.
func (p *Person) apply(ctx context.Context) error {
	shown := false
	for ctx.Err() == nil {
		m, err := p.stated(ctx)
		switch {
		case err != nil:
			return err
		case m == nil:
			return post.ErrUnknown
		case slices.ContainsFunc(m.Endpoints, p.isMe):
			return p.holds(ctx, m)
		}
		if !shown {
			if err := p.showOffer(m.Key); err != nil {
				return err
			}
			shown = true
		}
		pause(ctx, linkEvery)
	}
	return ctx.Err()
}

func (p *Person) isMe(e hosting.Endpoint) bool {
	return e.Device == p.me.Device && e.Identity.Equal(p.device.Identity())
}

func (p *Person) showOffer(account keys.IdentityKey) error {
	o, err := p.offers(account)
	if err != nil {
		return err
	}
	code, err := o.code()
	if err != nil {
		return err
	}
	p.screen.Show(Event{Kind: OfferEvent, Text: code})
	return nil
}

// Move takes an offer: the account has that device, and no other one any more. The
// key of the account stays here, and so does what was said before.
func (p *Person) Move(ctx context.Context, code string) error {
	o, err := parseOffer(code)
	if err != nil {
		return err
	}
	e, err := o.endpoint()
	if err != nil {
		return err
	}
	if err := p.declare(ctx, func([]hosting.Endpoint) ([]hosting.Endpoint, error) { return []hosting.Endpoint{e}, nil }); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: NoticeEvent, Text: fmt.Sprintf(movedText.in(p.language()), e.Provider.Name, e.Provider.Domain)})
	return p.relay.remove(ctx, session.Address{User: p.me.User, Device: p.me.Device})
}
