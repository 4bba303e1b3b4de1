package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// The scenes about who holds the keys: a business on a server of its own moves to a
// provider in mid-conversation, and the relay hides that, in two ways. All of it is
// in the language of the labels.

// roles are the flags of those who are no person.
var roles = map[string][]string{
	"Toko":   {"-business"},
	"Toko/2": {"-provider", "PT Awan Teduh", "-domain", "awanteduh.example"},
}

// hosting plays these scenes.
func (p *play) hosting() error {
	p.about.Store(true)
	p.pair, p.members, p.expelled = []string{"Ani", "Toko"}, nil, ""
	p.devices["Toko"] = []string{"Toko"}
	for _, scene := range []func() error{p.opens, p.moves, p.strips, p.replays, p.tells, p.declines, p.agrees, p.disappears} {
		if err := scene(); err != nil {
			return err
		}
	}
	return nil
}

// tell prints what happens.
func (p *play) tell(t phrase) { p.print("\n%s", t.in(p.lang)) }

// says lets somebody write something, and the other read it.
func (p *play) says(from string, t phrase) error {
	l := line{from: from, text: t.in(p.lang)}
	return p.say(l, l.text)
}

// commands lets somebody type a command, whose answers are of those kinds.
func (p *play) commands(label, typed string, kinds ...string) error {
	first, _, _ := strings.Cut(typed, " ")
	shown := typed
	if len(shown) > 40 {
		shown = first + " …"
	}
	p.print("    %s %s %s", label, p.word("types: "), shown)
	if err := p.actors[label].types(typed); err != nil {
		return err
	}
	return p.sees(label, kinds...)
}

// sees prints what somebody's process shows next, which is of those kinds in any
// order.
func (p *play) sees(label string, kinds ...string) error {
	for left := slices.Clone(kinds); len(left) > 0; {
		e, err := p.expect(p.actors[label], left...)
		if err != nil {
			return err
		}
		p.shows(p.actors[label], e)
		i := slices.Index(left, e.Kind)
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// opens lets the business come, and somebody buy there.
func (p *play) opens() error {
	p.tell(opensScene)
	if err := p.start("Toko"); err != nil {
		return err
	}
	if err := p.actors["Ani"].types("/to Toko"); err != nil {
		return err
	}
	return errors.Join(p.says("Ani", buyLine), p.says("Toko", sellLine))
}

// moves lets a provider offer a device to the business, which takes it.
func (p *play) moves() error {
	p.tell(movesScene)
	p.stale = p.relay.Signed(post.UserOf("Toko"))
	a, err := p.spawn("Toko/2")
	if err != nil {
		return err
	}
	e, err := p.expect(a, person.OfferEvent)
	if err != nil {
		return err
	}
	if err := p.commands("Toko", "/move "+e.Text, person.NoticeEvent); err != nil {
		return err
	}
	if _, err := p.expect(p.actors["Toko"], person.RemovedEvent); err != nil {
		return err
	}
	p.devices["Toko"] = []string{"Toko/2"}
	if _, err := p.expect(a, person.ReadyEvent); err != nil {
		return err
	}
	return a.types("/to Ani")
}

// hands makes the relay hand out that of what the business says of its keys.
func (p *play) hands(of func(newest []byte) []byte) { p.relay.Show(post.UserOf("Toko"), of) }

// strips has the relay leave out what the business says: the key of the new device
// is none of those that it ever spoke of, and nothing is sent to it.
func (p *play) strips() error {
	p.tell(stripsScene)
	p.hands(func([]byte) []byte { return nil })
	p.waiting = line{from: "Ani", text: bothLine.in(p.lang)}
	if err := p.utter(p.waiting, p.waiting.text); err != nil {
		return err
	}
	p.waited = p.sent
	if err := p.sees("Ani", person.HostingEvent, person.HeldEvent); err != nil {
		return err
	}
	return p.commands("Ani", "/label", person.HostingEvent, person.LabelEvent)
}

// replays has it hand out what the business said before.
func (p *play) replays() error {
	p.tell(replaysScene)
	p.hands(func([]byte) []byte { return p.stale })
	return p.commands("Ani", "/label", person.LabelEvent, person.HeldEvent)
}

// tells lets the business write, whose message brings what the relay hides.
func (p *play) tells() error {
	p.tell(tellsScene)
	if err := p.says("Toko/2", movedLine); err != nil {
		return err
	}
	if err := p.sees("Ani", person.AsksEvent); err != nil {
		return err
	}
	p.tell(staleScene)
	return p.commands("Ani", "/label", person.HostingEvent, person.LabelEvent)
}

// declines lets the user say no, which stays.
func (p *play) declines() error {
	p.tell(declinesScene)
	p.hands(func(newest []byte) []byte { return newest })
	if err := p.commands("Ani", "/consent no", person.NoticeEvent, person.LabelEvent); err != nil {
		return err
	}
	return p.commands("Ani", bothLine.in(p.lang), person.NoticeEvent)
}

// agrees lets her say yes, and what waited goes.
func (p *play) agrees() error {
	if len(p.posted) > 0 {
		p.fail("something was sent before a yes")
	}
	p.tell(agreesScene)
	if err := p.commands("Ani", "/consent yes", person.NoticeEvent, person.LabelEvent); err != nil {
		return err
	}
	return errors.Join(p.carry(p.waiting, p.waited), p.says("Toko/2", thanksLine))
}

// disappears lets two people write what does not last.
func (p *play) disappears() error {
	p.tell(timerScene)
	p.pair = []string{"Ani", "Budi"}
	if err := p.actors["Ani"].types("/to Budi"); err != nil {
		return err
	}
	if err := p.commands("Ani", "/timer 1", person.NoticeEvent); err != nil {
		return err
	}
	return errors.Join(p.says("Ani", codeLine), p.sees("Ani", person.GoneEvent), p.sees("Budi", person.GoneEvent))
}
