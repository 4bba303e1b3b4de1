package browser_test

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// A page may be reloaded at any moment: everything is there after it, once.
func reload(s *server) {
	ani, budi := s.pair()
	sent, read := []string{"halo Budi"}, []string{"hello Ani"}

	// Ani's, as the relay has not taken her message, and as it has and has not said so.
	for i, served := range []bool{false, true} {
		at := s.stalls("PUT", "/relay/sent/", served)
		text := fmt.Sprintf("dimuat ulang saat mengirim %d", i)
		ani.writes(text)
		at.wait(s.t)
		ani.reloads()
		ani.turns("budi")
		ani.sent(text)
		budi.reads(text)
		sent = append(sent, text)
	}
	ani.shot("reloaded while sending")

	// Ani's, with what she has just typed, and no time for anything.
	ani.writes("baru saja ditulis")
	ani.reloads()
	ani.turns("budi")
	ani.sent("baru saja ditulis")
	sent = append(sent, "baru saja ditulis")

	// Ani's, with what she has not sent.
	ani.fill("composer", "belum selesai")
	ani.reloads()
	ani.turns("budi")
	require.Equal(s.t, "belum selesai", ani.value("composer"))
	ani.click("send")
	ani.sent("belum selesai")
	sent = append(sent, "belum selesai")

	// Budi's, before and after he confirms what he has read.
	for i, served := range []bool{false, true} {
		at := s.stalls("DELETE", "/relay/mail/"+post.UserOf("budi"), served)
		text := fmt.Sprintf("dimuat ulang saat menerima %d", i)
		ani.writes(text)
		at.wait(s.t)
		budi.reloads()
		budi.turns("ani")
		budi.reads(text)
		sent = append(sent, text)
	}
	budi.shot("reloaded while receiving")

	// Budi's, again and again, as messages come and go.
	for i := range 3 {
		texts := []string{fmt.Sprintf("banyak %d", 2*i), fmt.Sprintf("banyak %d", 2*i+1)}
		ani.writes(texts...)
		sent = append(sent, texts...)
		budi.turns("ani")
		budi.writes(fmt.Sprintf("busy %d", i))
		read = append(read, fmt.Sprintf("busy %d", i))
		budi.reloads()
	}
	budi.turns("ani")
	budi.reads(sent...)
	ani.reads(read...)
	for _, text := range sent {
		ani.sent(text)
	}
	budi.has(read, sent)
	ani.has(sent, read)
	ani.shot("all there once")
}

// Mail comes late, in another order, twice, forged, or not at all; answers are lost.
func unreliableMail(s *server) {
	ani, budi := s.pair()
	var texts []string
	for i := range 6 {
		texts = append(texts, fmt.Sprintf("surat %d", i))
	}
	s.hold("budi", true)
	ani.sends(texts...)
	mail := s.take(s.t, 6)
	s.hold("budi", false)
	for _, i := range []int{4, 1} { // late, in another order
		s.must(s.put(mail[i : i+1]))
		budi.reads(texts[i])
	}
	budi.shot("in another order")
	s.must(s.put(append(mail[5:], again(mail[5])))) // doubled
	s.must(s.put(append(mail[:1:1], again(mail[0]), again(mail[1]), forged(mail[2]), mail[2])))
	budi.reads(texts[0], texts[2], texts[5]) // and 3 is lost

	// The relay takes a message, and its answer is lost.
	ani.excuse(unanswered)
	s.meddle("PUT", "/relay/sent/", 1, losesAnswer)
	ani.sends("jawaban hilang")
	budi.reads("jawaban hilang")
	budi.excuse(unanswered)
	s.meddle("DELETE", "/relay/mail/", 1, losesAnswer) // the letter comes again, read as it is
	ani.sends("sampai dua kali")
	budi.reads("sampai dua kali")
	s.meddle("GET", "/relay/mail/"+post.UserOf("budi"), 1, losesAnswer)
	ani.sends("dan yang terakhir")
	budi.reads("dan yang terakhir")
	budi.sends("all read")
	ani.reads("all read")

	own := append([]string{"halo Budi", "jawaban hilang", "sampai dua kali", "dan yang terakhir"}, texts...)
	ani.has(own, []string{"hello Ani", "all read"})
	read := append([]string{"halo Budi", "jawaban hilang", "sampai dua kali", "dan yang terakhir"}, texts[0], texts[1], texts[2], texts[4], texts[5])
	budi.has([]string{"hello Ani", "all read"}, read)
	budi.reloads()
	budi.turns("ani")
	budi.has([]string{"hello Ani", "all read"}, read)
	budi.shot("each once")
}
