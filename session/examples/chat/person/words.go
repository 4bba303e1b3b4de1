package person

// A text is said in English or in Indonesian: all that has to do
// with who holds the keys is. What a label says is not here: hosting.Label.Lines
// has the words for that, which no app should change.
type text struct{ en, id string }

func (t text) in(lang string) string {
	if lang == "id" {
		return t.id
	}
	return t.en
}

// What a person sees.
var (
	labelText = text{"who holds the key, in the chat with %s:", "siapa yang memegang kunci, dalam percakapan dengan %s:"}

	changeText = text{"who holds the key of %s has changed. New:", "pemegang kunci %s berubah. Yang baru:"}
	fewerText  = text{"who holds the key of %s has changed. No more:", "pemegang kunci %s berubah. Tidak lagi:"}

	askText     = text{"not sent to %s yet: first say whether you agree to this:", "belum dikirim kepada %s: nyatakan dahulu apakah Anda setuju dengan ini:"}
	openText    = text{"not sent: %s waits for your answer", "tidak dikirim: %s menunggu jawaban Anda"}
	refusedText = text{"not sent: you did not agree to write to %s", "tidak dikirim: Anda tidak setuju untuk menulis kepada %s"}
	yesText     = text{"you agree to write to %s", "Anda setuju untuk menulis kepada %s"}
	noText      = text{"you do not agree; nothing is sent to %s", "Anda tidak setuju; tidak ada yang dikirim kepada %s"}
	nothingText = text{"there is no question about %s", "tidak ada pertanyaan tentang %s"}

	unshownText  = text{"not sent: the relay does not show who holds the key that it hands out for %s", "tidak dikirim: relay tidak menunjukkan siapa yang memegang kunci yang diberikannya untuk %s"}
	strippedText = text{"the relay leaves out who holds the key of %s, which it has said before. That stays as it was.",
		"relay tidak menyertakan siapa yang memegang kunci %s, padahal pernah dinyatakan. Yang dinyatakan itu tetap berlaku."}
	staleText = text{"what the relay shows of %s is an old statement of who holds the key. The newer one stays.",
		"yang ditunjukkan relay tentang %s adalah pernyataan lama tentang pemegang kunci. Yang lebih baru tetap berlaku."}
	awaitedText = text{"%s speaks of a newer statement of who holds the key, which has not arrived. Nothing is sent before it does.",
		"%s menyebut pernyataan yang lebih baru tentang pemegang kunci, yang belum sampai. Tidak ada yang dikirim sebelum itu."}
	mismatchText = text{"the key that the relay shows of %s is none that it has stated to be its own. Nothing is sent to that key.",
		"kunci %s yang ditunjukkan relay tidak termasuk kunci yang dinyatakannya. Tidak ada yang dikirim ke kunci itu."}
	contradictText = text{"there are two statements of who holds the key of %s, and they contradict each other. Nothing is sent.",
		"ada dua pernyataan tentang pemegang kunci %s, dan keduanya bertentangan. Tidak ada yang dikirim."}
	strangerText = text{"another key than before signs for %s: a new account, or somebody else.",
		"kunci lain daripada sebelumnya menandatangani untuk %s: akun baru, atau orang lain."}
	unfitText    = text{"what %s writes does not fit what it has stated of who holds the key", "yang ditulis %s tidak cocok dengan pernyataannya tentang pemegang kunci"}
	newerOwnText = text{"%s has seen a newer statement of who holds your keys than this device has made; is it running on an old copy?",
		"%s telah melihat pernyataan tentang pemegang kunci Anda yang lebih baru daripada milik perangkat ini; apakah datanya salinan lama?"}
	otherOwnText = text{"%s has seen another statement of who holds your keys than yours: somebody else makes them, or that is not true.",
		"%s telah melihat pernyataan lain tentang pemegang kunci Anda: orang lain membuatnya, atau itu tidak benar."}
	untrueText = text{"what the relay shows of who holds the key of %s is not to be believed: %v",
		"yang ditunjukkan relay tentang pemegang kunci %s tidak dapat dipercaya: %v"}
	agreeText   = text{"Nothing is sent to %s before you say whether you agree to this:", "Tidak ada yang dikirim kepada %s sebelum Anda menyatakan setuju dengan ini:"}
	changedText = text{"%s has another identity key than before: a new phone, or somebody in between. Nothing is sent until you accept it.",
		"%s punya kunci identitas lain daripada sebelumnya: ponsel baru, atau ada pihak lain di tengah. Tidak ada yang dikirim sebelum Anda menerimanya."}
	acceptedText = text{"you accepted the new identity key of %s", "Anda menerima kunci identitas %s yang baru"}
	membersText  = text{"now in this group: %s", "kini dalam grup ini: %s"}
	outText      = text{"you are not in this group any more", "Anda tidak lagi dalam grup ini"}
	askedText    = text{"a message from %s could not be read, and was asked for again", "satu pesan dari %s tidak dapat dibaca, dan diminta lagi"}
	verifiedText = text{"the safety number with %s is the same on both sides: nobody is in between", "nomor keamanan dengan %s sama di kedua sisi: tidak ada pihak lain di tengah"}
	lastsText    = text{"what is written with %s disappears %d s after it was read", "yang ditulis bersama %s hilang %d detik setelah dibaca"}
	keptText     = text{"what is written with %s stays", "yang ditulis bersama %s tetap ada"}
	goneText     = text{"a message of the chat with %s has disappeared", "satu pesan dalam percakapan dengan %s telah hilang"}

	newDeviceText = text{"has a new device, number %d", "punya perangkat baru, nomor %d"}
	noDeviceText  = text{"has no device %d any more", "tidak lagi punya perangkat %d"}
	movedText     = text{"%s (%s) has the keys of this account from now on", "mulai kini %s (%s) memegang kunci akun ini"}
)
