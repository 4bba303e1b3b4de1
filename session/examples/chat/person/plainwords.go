package person

// What is said when something goes wrong.
var (
	failedText = text{"That did not work: %v", "Itu tidak berhasil: %v"}

	nonsenseText  = text{"The answer makes no sense. What waits is tried again.", "Jawabannya tidak masuk akal. Yang menunggu dicoba lagi."}
	relayGoneText = text{"The relay cannot be reached. What you wrote waits, and is sent once it answers.",
		"Relay tidak dapat dihubungi. Yang Anda tulis menunggu, dan dikirim begitu relay menjawab."}
	unknownText   = text{"The relay knows nobody of that name yet.", "Relay belum mengenal siapa pun dengan nama itu."}
	removedText   = text{"That device was removed by its owner.", "Perangkat itu telah dihapus oleh pemiliknya."}
	relayFullText = text{"The relay has no room left. What you wrote waits.", "Relay sudah penuh. Yang Anda tulis menunggu."}
	busyText      = text{"Something else changed at the same time. Please try again.", "Pada saat yang sama ada hal lain yang berubah. Silakan coba lagi."}
	tooLargeText  = text{"That is too large.", "Itu terlalu besar."}
	rejectedText  = text{"The relay does not take that.", "Relay tidak menerima itu."}
	nameText      = text{"A name has letters, digits, - and _, and 16 characters at most.", "Nama terdiri atas huruf, angka, - dan _, paling banyak 16 karakter."}
	numberText    = text{"Those are not the 60 digits that the other one sees, nor what the code there says.",
		"Itu bukan 60 angka yang dilihat pihak lain, bukan pula isi kode di sana."}
	offerText = text{"That is not the text that the provider's device shows.", "Itu bukan teks yang ditunjukkan perangkat penyedia."}

	fullText = text{"There is no room left on this device. Nothing is lost; make room and try again.",
		"Tempat di perangkat ini habis. Tidak ada yang hilang; kosongkan tempat, lalu coba lagi."}
	lockedText     = text{"This account is open in another tab or program. Close it there first.", "Akun ini terbuka di tab atau program lain. Tutuplah di sana dahulu."}
	newerText      = text{"A newer version of this program has written what is stored here. Nothing was changed.", "Yang tersimpan di sini ditulis versi program yang lebih baru. Tidak ada yang diubah."}
	rolledBackText = text{"What is stored here is an older copy. Nothing is sent from it.", "Yang tersimpan di sini salinan lama. Tidak ada yang dikirim darinya."}
	damagedText    = text{"Some of what is stored here is damaged. It is left as it is.", "Sebagian yang tersimpan di sini rusak, dan dibiarkan seperti adanya."}
	closedText     = text{"This account was closed here.", "Akun ini telah ditutup di sini."}
	storageText    = text{"The storage of this device does not work now. Please try again.", "Penyimpanan perangkat ini sedang tidak berfungsi. Silakan coba lagi."}

	noLabelText = text{"The relay leaves out who holds the key at the other end. Nothing is sent.",
		"Relay tidak menyertakan siapa yang memegang kunci di ujung sana. Tidak ada yang dikirim."}
	oldLabelText = text{"A newer statement of who holds the key at the other end has not arrived. Nothing is sent before it does.",
		"Pernyataan yang lebih baru tentang pemegang kunci di ujung sana belum sampai. Tidak ada yang dikirim sebelum itu."}
	otherKeyText = text{"The key that the relay shows is none that the other side has stated to be its own. Nothing is sent to it.",
		"Kunci yang ditunjukkan relay tidak termasuk yang dinyatakan pihak lain. Tidak ada yang dikirim ke kunci itu."}
	expiredText  = text{"The statement of who holds the key at the other end is out of date. Nothing is sent.", "Pernyataan tentang pemegang kunci di ujung sana sudah kedaluwarsa. Tidak ada yang dikirim."}
	badLabelText = text{"What is said of who holds the key at the other end is not to be believed. Nothing is sent.",
		"Yang dikatakan tentang pemegang kunci di ujung sana tidak dapat dipercaya. Tidak ada yang dikirim."}

	hostedText  = text{"Somebody else holds the key of that device; it does not get this account.", "Kunci perangkat itu dipegang pihak lain; akun ini tidak diberikan kepadanya."}
	linkText    = text{"That code was used before, or is too old. Have the new device show another one.", "Kode itu sudah dipakai atau kedaluwarsa. Mintalah kode lain dari perangkat baru."}
	blockedText = text{"You have blocked them. Nothing is sent.", "Anda telah memblokirnya. Tidak ada yang dikirim."}
	forgedText  = text{"That was changed on the way, and is not used.", "Itu diubah dalam perjalanan, dan tidak dipakai."}
	stoppedText = text{"That was stopped.", "Itu dihentikan."}

	heldKeyText    = text{"Not sent: %s has another identity key than before. Accept it first, if it is theirs.", "Tidak dikirim: %s punya kunci identitas lain daripada sebelumnya. Terimalah dahulu, jika itu memang miliknya."}
	longText       = text{"not sent: over %d bytes", "tidak dikirim: lebih dari %d byte"}
	fileChangeText = text{"the file did not come as it was sent, and is not used", "berkas tidak sampai seperti saat dikirim, dan tidak dipakai"}
	noFileText     = text{"there is no such file", "berkas itu tidak ada"}
	nothingYetText = text{"nothing is known of %s yet", "belum ada yang diketahui tentang %s"}
	otherAskText   = text{"something else is asked about %s by now; look at it first", "kini ada pertanyaan lain tentang %s; lihatlah dahulu"}
	outsideText    = text{"you are not in the group %s", "Anda tidak dalam grup %s"}
	memberText     = text{"%s cannot be removed from that group", "%s tidak dapat dikeluarkan dari grup itu"}
	crowdText      = text{"a group has %d members at most", "grup punya paling banyak %d anggota"}
	noKeyText      = text{"no other identity key of %s was shown", "tidak ada kunci identitas lain dari %s yang ditunjukkan"}
	unequalText    = text{"the digits differ: somebody may be in between; do not trust this conversation", "angkanya berbeda: mungkin ada pihak lain di tengah; jangan percayai percakapan ini"}
	noMatchText    = text{"the code does not match (%v): somebody may be in between; do not trust this conversation", "kodenya tidak cocok (%v): mungkin ada pihak lain di tengah; jangan percayai percakapan ini"}
	thisDeviceText = text{"that is this device; remove it by another one", "itu perangkat ini; hapuslah lewat perangkat lain"}
)
