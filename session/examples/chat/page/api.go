//go:build js && wasm

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"syscall/js"
	"time"

	"rsc.io/qr"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxTimer is the most seconds that can be asked for, so that it is a time.Duration.
const maxTimer = 1 << 31

// methods returns the API:
//
//	open({name, device, role, provider, domain, lang}, onEvent) → {name, device, role, key}
//	accounts() → [{name, device}]     those that are kept here
//	close()
//	setLang(lang)
//	conversations() → [person.Conversation]
//	conversation(name) → person.Conversation
//	history(name) → [person.Line]
//	start(name)                       a conversation with somebody
//	write(name, text)
//	sendFile(name, fileName, bytes, onProgress(done, total))
//	file(name, id, onProgress(done, total)) → {name, bytes}
//	consent(name, yes, question)      as a person.Conversation has it
//	label(name)                       asks the relay anew who holds the keys
//	accept(name, key)                 an identity key that has changed, likewise
//	number(name) → {digits, code, qr, verified}
//	verify(name, digitsOrCode)
//	group(name, members)
//	expel(group, member)
//	timer(name, seconds)
//	link(code)                        a further device of one's own
//	move(code)                        a business to a provider
//	export(onProgress(done, total)) → {bytes, key, name}
//
// onEvent is called with each person.Event, until the account is closed.
func (a *app) methods() map[string]method {
	return map[string]method{
		"open":     {"of", a.callOpen},
		"accounts": {"", callAccounts},
		"close": {"", func(context.Context, []any) (any, error) {
			a.close()
			return nil, nil
		}},
		"setLang": {"s", func(_ context.Context, in []any) (any, error) {
			a.setLang(in[0].(string))
			return nil, nil
		}},

		"conversations": a.inAccount("", func(ctx context.Context, p *person.Person, in []any) (any, error) { return p.Conversations(ctx) }),
		"conversation": a.inAccount("s", func(ctx context.Context, p *person.Person, in []any) (any, error) {
			return p.Conversation(ctx, in[0].(string))
		}),
		"history": a.inAccount("s", func(ctx context.Context, p *person.Person, in []any) (any, error) {
			return p.History(ctx, in[0].(string))
		}),

		"start":  a.about((*person.Person).Start),
		"label":  a.about((*person.Person).Label),
		"link":   a.about((*person.Person).Link),
		"move":   a.about((*person.Person).Move),
		"write":  a.aboutTwo((*person.Person).Write),
		"verify": a.aboutTwo((*person.Person).Verify),
		"accept": a.aboutTwo((*person.Person).AcceptKey),
		"expel":  a.aboutTwo((*person.Person).Expel),
		"consent": a.inAccount("sbs", func(ctx context.Context, p *person.Person, in []any) (any, error) {
			return nil, p.Answer(ctx, in[0].(string), in[2].(string), in[1].(bool))
		}),
		"group": a.inAccount("sl", func(ctx context.Context, p *person.Person, in []any) (any, error) {
			return nil, p.Gather(ctx, in[0].(string), in[1].([]string))
		}),
		"timer": a.inAccount("sn", func(ctx context.Context, p *person.Person, in []any) (any, error) {
			seconds := in[1].(float64)
			if seconds < 0 || seconds > maxTimer {
				return nil, errCall
			}
			return nil, p.Last(ctx, in[0].(string), time.Duration(seconds)*time.Second)
		}),
		"number":   a.inAccount("s", callNumber),
		"sendFile": a.inAccount("ssaf", callSendFile),
		"file":     a.inAccount("ssf", callFile),
		"export":   a.inAccount("f", callExport),
	}
}

// about makes a method of what is done with a name or a code.
func (a *app) about(do func(*person.Person, context.Context, string) error) method {
	return a.inAccount("s", func(ctx context.Context, p *person.Person, in []any) (any, error) {
		return nil, do(p, ctx, in[0].(string))
	})
}

func (a *app) aboutTwo(do func(*person.Person, context.Context, string, string) error) method {
	return a.inAccount("ss", func(ctx context.Context, p *person.Person, in []any) (any, error) {
		return nil, do(p, ctx, in[0].(string), in[1].(string))
	})
}

func (a *app) callOpen(_ context.Context, in []any) (any, error) {
	w, err := wishFromJS(in[0].(js.Value))
	if err != nil {
		return nil, err
	}
	p, err := a.open(w, screen{a, in[1].(js.Value)})
	if err != nil {
		return nil, err
	}
	me := p.Me()
	return map[string]any{
		"name": post.NameOf(me.User), "device": js.ValueOf(me.Device), "role": p.Role(), "key": person.Digits(p.Identity()),
	}, nil
}

// wishFromJS reads the first argument of open.
func wishFromJS(o js.Value) (*wish, error) {
	text := func(name string) string {
		if v := o.Get(name); v.Type() == js.TypeString {
			return v.String()
		}
		return ""
	}
	w := &wish{me: session.Address{User: post.UserOf(text("name")), Device: 1}, lang: text("lang")}
	if v := o.Get("device"); v.Type() == js.TypeNumber {
		w.me.Device = uint32(max(0, v.Int()))
	}
	if !post.ValidName(text("name")) || !post.ValidAddress(w.me) {
		return nil, post.ErrName
	}
	switch text("role") {
	case "business":
		w.role = person.Business()
	case "provider":
		w.role = person.Hosted(text("provider"), text("domain"))
	}
	return w, nil
}

func callAccounts(ctx context.Context, _ []any) (any, error) {
	all, err := accounts(ctx)
	if err != nil {
		return nil, err
	}
	type named struct {
		Name   string `json:"name"`
		Device uint32 `json:"device"`
	}
	list := []named{}
	for _, a := range all {
		list = append(list, named{a.User, a.Device})
	}
	return list, nil
}

func callNumber(ctx context.Context, p *person.Person, in []any) (any, error) {
	digits, code, verified, err := p.SafetyNumber(ctx, in[0].(string))
	if err != nil {
		return nil, err
	}
	drawn, err := qr.Encode(string(code), qr.M)
	if err != nil {
		return nil, err
	}
	rows := make([]string, drawn.Size)
	for y := range rows {
		row := make([]byte, drawn.Size)
		for x := range row {
			row[x] = '0'
			if drawn.Black(x, y) {
				row[x] = '1'
			}
		}
		rows[y] = string(row)
	}
	return struct {
		Digits   string   `json:"digits"`
		Code     string   `json:"code"`
		QR       []string `json:"qr"`
		Verified bool     `json:"verified"`
	}{digits, hex.EncodeToString(code), rows, verified}, nil
}

func callSendFile(ctx context.Context, p *person.Person, in []any) (any, error) {
	return nil, p.SendFile(ctx, in[0].(string), in[1].(string), in[2].([]byte), progress(in[3].(js.Value)))
}

func callFile(ctx context.Context, p *person.Person, in []any) (any, error) {
	name, content, err := p.File(ctx, in[1].(string), progress(in[2].(js.Value)))
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": name, "bytes": content}, nil
}

func callExport(ctx context.Context, p *person.Person, in []any) (any, error) {
	var archive bytes.Buffer
	key, err := p.Export(ctx, &archive, progress(in[0].(js.Value)))
	if err != nil {
		return nil, err
	}
	name := "gembok-" + post.NameOf(p.Me().User) + "-" + time.Now().Format(time.DateOnly) + ".age"
	return map[string]any{"bytes": archive.Bytes(), "key": key, "name": name}, nil
}
