package main

// A phrase is said in English or, with -lang id, in Indonesian.
type phrase struct{ en, id string }

func (p phrase) in(lang string) string {
	if lang == "id" {
		return p.id
	}
	return p.en
}

// What the play says.
var (
	opensScene = phrase{"A business comes, Toko. Its keys are on a server of its own, and it says so, signed.",
		"Sebuah usaha datang, Toko. Kuncinya ada di server miliknya sendiri, dan itu dinyatakannya dengan tanda tangan."}
	movesScene = phrase{"Toko has a provider answer for it from now on. Its key does not move: the provider makes a device with another one, and Toko takes that offer.",
		"Mulai kini penyedia menjawab untuk Toko. Kuncinya tidak berpindah: penyedia membuat perangkat dengan kunci lain, dan Toko menerima tawaran itu."}
	stripsScene = phrase{"The relay hides that: it hands out the new key, and leaves out who holds it.",
		"Relay menyembunyikannya: ia memberikan kunci baru, tanpa menyertakan siapa pemegangnya."}
	replaysScene = phrase{"Then the relay hands out what Toko said before it moved. The new key is not in there.",
		"Lalu relay memberikan pernyataan Toko dari sebelum pindah. Kunci baru tidak ada di dalamnya."}
	tellsScene = phrase{"Toko writes. What it writes brings along who holds the key now, which the relay cannot take out.",
		"Toko menulis. Pesannya membawa pernyataan tentang pemegang kunci sekarang, yang tidak dapat dibuang relay."}
	staleScene = phrase{"The relay still hands out the old statement. Now it is known to be one.",
		"Relay masih memberikan pernyataan lama. Kini ketahuan bahwa itu pernyataan lama."}
	declinesScene = phrase{"The relay gives up. Ani does not agree, and that stays so.", "Relay menyerah. Ani tidak setuju, dan itu tetap berlaku."}
	agreesScene   = phrase{"Ani thinks again, and agrees. What she wrote goes out.", "Ani berpikir lagi, lalu setuju. Yang ditulisnya terkirim."}

	timerScene = phrase{"With Budi, Ani has what they write disappear a second after it was read.", "Bersama Budi, Ani membuat yang mereka tulis hilang sedetik setelah dibaca."}

	codeLine   = phrase{"The code of the gate is 4711.", "Kode gerbangnya 4711."}
	buyLine    = phrase{"Do you have mangoes today?", "Hari ini ada mangga?"}
	sellLine   = phrase{"Two kilos, the yellow ones.", "Ada dua kilo, yang kuning."}
	bothLine   = phrase{"I take both.", "Saya ambil semuanya."}
	movedLine  = phrase{"Dear customer, PT Awan Teduh answers for us now.", "Pelanggan yang terhormat, kini PT Awan Teduh menjawab untuk kami."}
	thanksLine = phrase{"Thank you! They are packed.", "Terima kasih! Sudah dibungkus."}
)

// Words that the play has for what happens again and again.
var playWords = map[string]string{
	"\n%s (%s) is process %d.": "\n%s (%s) adalah proses %d.",
	"    %s is told: %s":       "    %s diberi tahu: %s",
	"writes":                   "menulis",
	"reads: ":                  "membaca: ",
	"sees: ":                   "melihat: ",
	"types: ":                  "mengetik: ",
}

// word is one of these in the language of the labels, in the scenes about those.
func (p *play) word(en string) string {
	if id, ok := playWords[en]; ok && p.about.Load() && p.lang == "id" {
		return id
	}
	return en
}
