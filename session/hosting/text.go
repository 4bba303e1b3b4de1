package hosting

import (
	"fmt"
	"strings"
)

// A text is one sentence in both languages.
type text struct{ id, en string }

func (t text) in(lang string) string {
	if lang == "id" {
		return t.id
	}
	return t.en
}

// The canonical texts. Of a host there are its name and its domain, and nothing
// else varies.
var (
	stateTexts = map[State]text{
		unattested: {"Tidak diketahui siapa yang memegang kunci di ujung sana.", "It is not known who holds the key at the other end."},
		current:    {"", ""}, // the label says it
		pending: {"Yang dapat membaca percakapan ini atau memakai isinya bertambah. Tidak ada yang dikirim sebelum Anda setuju.",
			"More parties may read this chat, or use what is in it. Nothing is sent before you agree."},
		narrower: {"Yang dapat membaca percakapan ini atau memakai isinya berkurang.", "Fewer parties than before may read this chat, or use what is in it."},
		expired: {"Pernyataan tentang siapa yang memegang kunci sudah kedaluwarsa. Siapa pemegangnya sekarang tidak diketahui.",
			"The statement of who holds the key is out of date. It is not known who holds it now."},
		conflict: {"Awas: pernyataan tentang siapa yang memegang kunci saling bertentangan. Tidak ada yang dikirim.",
			"Warning: the statements of who holds the key contradict each other. Nothing is sent."},
		declined: {"Anda tidak setuju. Tidak ada yang dikirim.", "You did not agree. Nothing is sent."},
	}
	unknownText = text{"Mungkin ada pihak lain yang tidak diketahui.", "There may be others that are not known."}

	ownTexts = map[Controller]text{
		Person:      {"Kunci di ujung sana dipegang orang itu sendiri, di perangkatnya.", "The key at the other end is held by that person, on their own device."},
		OwnerDevice: {"Kunci di ujung sana dipegang bisnis itu sendiri, di perangkatnya.", "The key at the other end is held by that business, on its own device."},
		OwnerServer: {"Kunci di ujung sana dipegang bisnis itu sendiri, di servernya.", "The key at the other end is held by that business, on its own server."},
	}
	hostTexts = map[Controller]text{
		HostedByProvider: {"Kunci di ujung sana dipegang %s (%s), pihak ketiga, yang dapat membaca percakapan ini.",
			"The key at the other end is held by %s (%s), a third party, which can read this chat."},
		HostedByPlatform: {"Kunci di ujung sana dipegang %s (%s), pengelola layanan percakapan ini atau induknya, yang dapat membaca percakapan ini.",
			"The key at the other end is held by %s (%s), the operator of this chat service or its parent, which can read this chat."},
	}
	unverifiedText = text{"Tidak terbukti bahwa %s (%s) memang pihak itu.", "It is not verified that %s (%s) is who it says."}
	mixedText      = text{"Nama %s (%s) mencampur aksara dan dapat menyerupai nama lain.", "The name %s (%s) mixes scripts and may look like another."}

	storageTexts = []text{ // by the number of the Storage
		{}, {"", ""}, {"Pesan disimpan oleh pemilik akun.", "Messages are stored by the owner of the account."},
		{"Pesan disimpan oleh penyedia.", "Messages are stored by the provider."},
	}
	readerTexts = []text{ // by bit
		{"Dibaca oleh staf.", "Read by staff."}, {"Dibaca oleh program otomatis.", "Read by automation."},
		{"Dibaca oleh model AI.", "Read by an AI model."}, {"Dibaca oleh subkontraktor.", "Read by subprocessors."},
	}
	useTexts = []text{ // by bit
		{"Dipakai untuk layanan.", "Used for the service."}, {"Dipakai untuk pemasaran sendiri.", "Used for own marketing."},
		{"Dipakai untuk iklan di layanan percakapan ini.", "Used for advertising on this chat service."},
		{"Dipakai untuk melatih model.", "Used for training models."},
	}
)

// Lines returns the canonical text of l, a sentence each: what its State means,
// who holds the keys, and what for. The language is "id", Indonesian, or
// else English.
//
// It never says that a chat is safe. It says who holds the key.
func (l *Label) Lines(lang string) []string {
	var out []string
	add := func(s string) {
		if s != "" {
			out = append(out, s)
		}
	}
	add(stateTexts[l.State].in(lang))
	for _, c := range l.Controllers {
		if l.State != expired && l.State != conflict { // of an owner that is not known then
			add(ownTexts[c].in(lang))
		}
	}
	for i := range l.Parties {
		out = append(out, l.Parties[i].lines(lang)...)
	}
	for _, s := range l.Storage {
		if int(s) < len(storageTexts) {
			add(storageTexts[s].in(lang))
		}
	}
	out = append(out, bitLines(lang, l.Readers.bits(), readerTexts)...)
	out = append(out, bitLines(lang, l.Uses.bits(), useTexts)...)
	if l.Unknown && l.State != unattested && l.State != expired {
		add(unknownText.in(lang))
	}
	return out
}

func (p *Party) lines(lang string) []string {
	say := func(t text) string { return fmt.Sprintf(t.in(lang), isolated(p.Name), p.Domain) }
	out := []string{say(hostTexts[p.Controller])}
	if !p.Known {
		out = append(out, say(unverifiedText))
	}
	if p.Mixed {
		out = append(out, say(mixedText))
	}
	return out
}

func bitLines(lang string, bits uint8, texts []text) []string {
	var out []string
	for i, t := range texts {
		if bits&(1<<i) != 0 {
			out = append(out, t.in(lang))
		}
	}
	return out
}

// isolated returns a name that turns nothing around it: where it has letters
// beyond those of Europe, in an isolate of the bidirectional algorithm, which no
// name can end.
func isolated(name string) string {
	if !strings.ContainsFunc(name, func(c rune) bool { return c >= '\u0590' }) {
		return name
	}
	return "\u2068" + name + "\u2069"
}
