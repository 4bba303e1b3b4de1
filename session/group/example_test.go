package group_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A relay knows the devices of its users, and brings messages. An app's is
// somewhere else, takes a Sending over the network, and may have something to say to
// Reconcile.
type relay map[session.Address]*person

// A person has one device.
type person struct {
	*session.Device
	groups *group.Groups
	name   string
}

func (r relay) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	p := r[session.Address{User: user, Device: 1}]
	return []session.PeerDevice{{Device: 1, RegistrationID: p.RegistrationID()}}, nil
}

func (r relay) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	return r[peer].Bundle(ctx)
}

func (r relay) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// join makes a person.
func (r relay) join(name string) *person {
	a := session.Address{User: name, Device: 1}
	d, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: a}, &session.Options{Directory: r, Content: true})
	if err != nil {
		log.Fatal(err)
	}
	r[a] = &person{Device: d, groups: group.New(d, nil), name: name}
	return r[a]
}

// submit brings a Sending to all it is for.
func (r relay) submit(from *person, s *session.Sending) error {
	for _, result := range s.Results {
		if result.Err != nil { // this device gets nothing: the app may exclude it
			return result.Err
		}
		if err := r[result.To].read(from, result.Message); err != nil {
			return err
		}
	}
	return from.groups.Accept(ctx, s)
}

// read reads a message of either kind.
func (p *person) read(from *person, m *session.Message) error {
	got, err := p.groups.Decrypt(ctx, from.Address(), m, nil)
	if err != nil {
		return err
	}
	if text := string(got.Content.Body); text != "" {
		fmt.Printf("%s reads: %s\n", p.name, text)
	}
	return p.Acknowledge(ctx, got)
}

// tell sends a text to a group: first the key to whoever lacks it, and then one
// message for all.
func (r relay) tell(from *person, name, text string) (*session.Sending, error) {
	for {
		key, err := from.groups.Distribute(ctx, name, nil)
		if err != nil {
			return nil, err
		}
		if key != nil {
			if err := r.submit(from, key); err != nil {
				return nil, err
			}
		}
		s, err := from.groups.Send(ctx, name, &session.Content{Body: []byte(text)}, nil)
		if _, waiting := errors.AsType[*group.WaitingError](err); waiting { // somebody came meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		return s, r.submit(from, s)
	}
}

// Three people are in a group, and one has to go: he cannot read what is said
// then, although he gets the message.
func ExampleGroups_Send() {
	r := relay{}
	ani, _, cici := r.join("ani"), r.join("budi"), r.join("cici")
	if err := ani.groups.Set(ctx, "family", []string{"ani", "budi", "cici"}, nil); err != nil {
		log.Fatal(err)
	}
	if _, err := r.tell(ani, "family", "Dinner at seven."); err != nil {
		log.Fatal(err)
	}
	if err := ani.groups.Set(ctx, "family", []string{"ani", "budi"}, nil); err != nil {
		log.Fatal(err)
	}
	s, err := r.tell(ani, "family", "It is a surprise for Cici.")
	if err != nil {
		log.Fatal(err)
	}
	err = cici.read(ani, s.Results[0].Message)
	fmt.Println("cici:", err)
	fmt.Println("for", s.Results[0].To, "alone:", len(s.Results) == 1)
	// Output:
	// budi reads: Dinner at seven.
	// cici reads: Dinner at seven.
	// budi reads: It is a surprise for Cici.
	// cici: group: no sender key: session: no session
	// for budi.1 alone: true
}
