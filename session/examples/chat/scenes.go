package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// link links a second device of a person by the first.
func (p *play) link(label string) error {
	first, second := p.actors[label], label+"/2"
	a, err := p.spawn(second)
	if err != nil {
		return err
	}
	e, err := a.expect(person.LinkEvent)
	if err != nil {
		return err
	}
	p.print("    %s shows a code, and %s types it into the first device: %s", second, label, printable(e.Text))
	if err := first.types("/link " + e.Text); err != nil {
		return err
	}
	if _, err := p.expect(a, person.ReadyEvent); err != nil {
		return err
	}
	e, err = p.expect(first, person.NewsEvent)
	if err != nil {
		return err
	}
	p.print("    %s is told: %s", label, printable(e.Peer+" "+e.Text))
	p.devices[label] = append(p.devices[label], second)
	return a.types("/to " + p.other(label))
}

// remove removes the second device of a person by the first. It stays there, to
// see that it gets nothing.
func (p *play) remove(label string) error {
	p.print("\n%s removes the second device.", label)
	if err := p.actors[label].types("/remove 2"); err != nil {
		return err
	}
	if _, err := p.expect(p.actors[label], person.NoticeEvent); err != nil {
		return err
	}
	p.devices[label] = []string{label}
	_, err := p.expect(p.actors[label+"/2"], person.RemovedEvent)
	return err
}

// lose delivers a message to someone who has lost the session.
func (p *play) lose(m *parcel) error {
	if err := p.actors[m.to].types("/lose " + owner(m.from)); err != nil {
		return err
	}
	if _, err := p.expect(p.actors[m.to], person.NoticeEvent); err != nil {
		return err
	}
	p.print("    %s loses the sessions with %s", m.to, owner(m.from))
	return errors.Join(p.deliver(m, person.AskedEvent), p.resend(m, person.ReadEvent))
}

// resend delivers the request of someone who could not read a message, and then
// what its sender sends again.
func (p *play) resend(m *parcel, kind string) error {
	request, err := p.take()
	if err != nil {
		return err
	}
	a := p.actors[m.from]
	if err := p.relay.Put(request); err != nil {
		return err
	}
	if _, err := p.expect(a, person.ResentEvent); err != nil {
		return err
	}
	mail, err := p.take()
	if err != nil {
		return err
	}
	p.print("    %s has sent number %d again", m.from, m.number)
	m.envelope = mail[0].Envelope
	return p.deliver(m, kind)
}

// gather makes a group, of the two and of one who comes for that.
func (p *play) gather(l line) error {
	p.devices["Citra"] = []string{"Citra"}
	if err := p.start("Citra"); err != nil {
		return err
	}
	p.members = []string{"Ani", "Budi", "Citra"}
	l.text = strings.Join(p.members, ", ")
	p.print("\n%s makes a group of three.", l.from)
	return p.say(l, "/group family Budi Citra")
}

// expel removes somebody from the group. They are told, and that is the last that
// they get.
func (p *play) expel(l line) error {
	who := l.text
	left := slices.DeleteFunc(slices.Clone(p.members), func(m string) bool { return m == who })
	l.text = strings.Join(left, ", ")
	p.print("\n%s removes %s from the group.", l.from, who)
	if err := p.say(l, "/remove family "+who); err != nil {
		return err
	}
	p.members, p.expelled = left, who
	return nil
}

// passKey delivers the messages by which the members of a group get the key of one
// of them, each in a message of its own. They show nothing.
func (p *play) passKey(a *actor) error {
	mail, err := p.take()
	if err != nil {
		return err
	}
	var to []string
	for _, d := range mail {
		to = append(to, post.Label(d.To))
	}
	p.print("    %s has given a new key for the group to %s", a.label, strings.Join(to, ", "))
	if slices.Contains(to, p.expelled) {
		p.fail("%s gets a key", p.expelled)
	}
	return p.relay.Put(mail)
}

// leak delivers a message also to the one who was removed from the group.
func (p *play) leak(m *parcel) error {
	copied := *m
	copied.to, copied.forged = p.expelled, true
	copied.envelope.ID += "-copy"
	p.print("    … and gives a copy to %s, who is not in the group any more", p.expelled)
	return errors.Join(p.deliver(&copied, person.RefusedEvent), p.deliver(m, person.ReadEvent))
}

// compare lets two people compare their safety numbers: each shows it, and gives
// what the other shows to his own app.
func (p *play) compare(label string) error {
	p.print("\n%s and %s compare their safety numbers.", label, p.other(label))
	both := []string{label, p.other(label)}
	var shown [2]person.Event
	for i, name := range both {
		if err := p.actors[name].types("/number " + both[1-i]); err != nil {
			return err
		}
		var err error
		if shown[i], err = p.expect(p.actors[name], person.NumberEvent); err != nil {
			return err
		}
		p.print("    %-5s sees %s", name, printable(shown[i].Text))
	}
	if shown[0].Text != shown[1].Text {
		p.fail("the digits differ")
	}
	var qr strings.Builder
	if err := drawQR(&qr, shown[1].Code); err != nil {
		return err
	}
	p.print("    %s shows this code, which %s scans; %s reads the digits out:\n\n%s", both[1], both[0], both[0], qr.String())
	for i, theirs := range []string{hex.EncodeToString(shown[1].Code), shown[0].Text} {
		if err := p.actors[both[i]].types("/verify " + both[1-i] + " " + theirs); err != nil {
			return err
		}
		if _, err := p.expect(p.actors[both[i]], person.VerifiedEvent); err != nil {
			return err
		}
		p.print("    %s: the same. Nobody is in between; %s is verified", both[i], both[1-i])
	}
	return nil
}

// picture lets somebody send a picture, and the other save it.
func (p *play) picture(l line) error {
	sent, saved := filepath.Join(p.dir, "sunrise.png"), filepath.Join(p.dir, "saved.png")
	drawn, err := drawPicture()
	if err != nil {
		return err
	}
	if err := os.WriteFile(sent, drawn, 0o600); err != nil {
		return err
	}
	l.fate, l.text = prompt, fileText(&person.File{Name: "sunrise.png", Size: int64(len(drawn))})
	if err := p.say(l, "/picture "+sent); err != nil {
		return err
	}
	reader := p.actors[p.other(l.from)]
	if err := reader.types("/save " + saved); err != nil {
		return err
	}
	if _, err := p.expect(reader, person.NoticeEvent); err != nil {
		return err
	}
	got, err := os.ReadFile(saved)
	if err == nil && !bytes.Equal(got, drawn) {
		err = errors.New("the picture is another one")
	}
	if err != nil {
		return err
	}
	p.print("    %s has the same picture, all %d bytes of it", reader.label, len(got))
	return nil
}

// drawPicture draws a sunrise.
func drawPicture() ([]byte, error) {
	const w, h = 160, 100
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			dx, dy := x-w/2, y-70
			c := color.RGBA{uint8(90 + y), uint8(60 + y), uint8(160 - y/2), 255} // the sky
			switch {
			case y > 70: // the sea
				c = color.RGBA{20, uint8(60 + 7*(x*y%11)), uint8(120 + y%40), 255}
			case dx*dx+dy*dy < 30*30: // the sun
				c = color.RGBA{255, 210, 80, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, m)
	return out.Bytes(), err
}
