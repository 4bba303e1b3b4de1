// The page's own words, in English and Indonesian. What a label says is not here:
// that comes from the program, and is shown as it is. So is what an error says.

import { visible } from "./dom.js";

const table = {
  title: ["gembok: chat", "gembok: obrolan"],
  skip: ["Skip to the conversation", "Langsung ke percakapan"],
  language: ["Language", "Bahasa"],
  close: ["Close", "Tutup"],
  cancel: ["Cancel", "Batal"],
  copy: ["Copy", "Salin"],
  copied: ["Copied.", "Sudah disalin."],
  copyByHand: ["The text is selected: copy it with Ctrl+C.", "Teksnya sudah dipilih: salin dengan Ctrl+C."],
  loading: ["Loading the program that keeps your keys …", "Memuat program yang menyimpan kunci Anda …"],
  openingAs: ["Opening the account {name} …", "Membuka akun {name} …"],

  startTitle: ["Start", "Mulai"],
  startText: [
    "Keys are made in this browser and stay here. The relay passes on what it cannot read.",
    "Kunci dibuat di peramban ini dan tetap di sini. Relay hanya meneruskan yang tidak dapat dibacanya.",
  ],
  name: ["Your name", "Nama Anda"],
  nameHint: ["Letters, digits, - and _; 16 characters at most.", "Huruf, angka, - dan _; paling banyak 16 karakter."],
  role: ["You are", "Anda adalah"],
  rolePerson: ["a person, with the keys on this device", "perorangan, dengan kunci di perangkat ini"],
  roleBusiness: ["a business, with the keys on a server of its own", "bisnis, dengan kunci di servernya sendiri"],
  roleProvider: ["a provider, with a device that answers for a business", "penyedia, dengan perangkat yang menjawab untuk suatu bisnis"],
  nameOfBusiness: ["Name of the business", "Nama bisnis"],
  device: ["Number of this device", "Nomor perangkat ini"],
  deviceHint: ["1 is the first device of an account. A further one is linked to it by a code.", "1 adalah perangkat pertama suatu akun. Perangkat berikutnya ditautkan dengan kode."],
  provider: ["Name of the provider", "Nama penyedia"],
  domain: ["Domain of the provider", "Domain penyedia"],
  open: ["Open", "Buka"],
  accounts: ["Accounts in this browser", "Akun di peramban ini"],
  account: ["{name}", "{name}"],
  accountDevice: ["{name}, device {device}", "{name}, perangkat {device}"],

  leave: ["Leave this account", "Keluar dari akun ini"],
  conversations: ["Conversations", "Percakapan"],
  noConversations: ["There are no conversations yet.", "Belum ada percakapan."],
  newTalk: ["New conversation", "Percakapan baru"],
  newTalkName: ["With whom? The name of a person or business", "Dengan siapa? Nama orang atau bisnis"],
  begin: ["Start", "Mulai"],
  newGroup: ["New group", "Grup baru"],
  groupMembers: ["Members of the group", "Anggota grup"],
  groupName: ["Name of the group", "Nama grup"],
  groupList: ["Names of the members, with spaces between", "Nama para anggota, dipisahkan spasi"],
  groupSave: ["Save the group", "Simpan grup"],
  accountPart: ["This account", "Akun ini"],
  new: ["new", "baru"],
  waitingCount: ["{n} waiting", "{n} menunggu"],
  flagVerified: ["verified", "terverifikasi"],
  flagChanged: ["identity changed", "identitas berubah"],
  flagAsks: ["asks for your answer", "menunggu jawaban Anda"],
  flagDeclined: ["you did not agree", "Anda tidak setuju"],
  flagAlarm: ["warning", "peringatan"],

  kindPerson: ["person", "perorangan"],
  kindBusiness: ["business", "bisnis"],
  kindService: ["service", "layanan"],
  kindGroup: ["group", "grup"],
  kindGroupOf: ["group of {name}", "grup milik {name}"],
  kindUnknown: ["kind not known", "jenis tidak diketahui"],

  talk: ["Conversation", "Percakapan"],
  pick: ["Choose a conversation, or start a new one.", "Pilih percakapan, atau mulai yang baru."],
  back: ["Back to the list", "Kembali ke daftar"],
  verified: ["✓ verified", "✓ terverifikasi"],
  verifiedLong: ["You compared the safety number, and it was the same.", "Anda telah membandingkan nomor keamanan, dan keduanya sama."],
  labelTitle: ["Who holds the keys", "Siapa yang memegang kunci"],
  labelNone: ["Nothing is known yet.", "Belum ada yang diketahui."],
  labelAgain: ["Ask again", "Tanyakan lagi"],
  labelAsked: ["The relay was asked again who holds the keys.", "Relay sudah ditanya lagi siapa yang memegang kunci."],
  party: ["Provider", "Penyedia"],
  number: ["Safety number", "Nomor keamanan"],
  timer: ["Disappear after reading:", "Hilang setelah dibaca:"],
  timer0: ["off", "tidak aktif"],
  timer5: ["5 seconds", "5 detik"],
  timer60: ["1 minute", "1 menit"],
  timer3600: ["1 hour", "1 jam"],
  timer86400: ["1 day", "1 hari"],
  timerOther: ["{n} seconds", "{n} detik"],
  members: ["Members", "Anggota"],
  expel: ["Remove {name} from the group", "Keluarkan {name} dari grup"],
  addMembers: ["Change members", "Ubah anggota"],

  alarmTitle: ["Warning", "Peringatan"],
  identityTitle: ["{name} has another identity key than before", "Kunci identitas {name} berbeda dari sebelumnya"],
  identityGroupTitle: ["Somebody in {name} has another identity key than before", "Kunci identitas seseorang dalam {name} berbeda dari sebelumnya"],
  identityGroupText: [
    "That is a new phone, or somebody in between. Nothing is sent to the group until you accept the new key, in the conversation with that person.",
    "Itu ponsel baru, atau ada pihak lain di tengah. Tidak ada yang dikirim ke grup sebelum Anda menerima kunci baru itu, dalam percakapan dengan orang tersebut.",
  ],
  identityText: [
    "That is a new phone, or somebody in between. Ask {name} in another way. Nothing is sent until you accept the new key.",
    "Itu ponsel baru, atau ada pihak lain di tengah. Tanyakan kepada {name} lewat jalur lain. Tidak ada yang dikirim sebelum Anda menerima kunci baru.",
  ],
  identityOld: ["Key so far", "Kunci selama ini"],
  identityNew: ["New key", "Kunci baru"],
  identityAccept: ["Accept the new key", "Terima kunci baru"],

  log: ["Messages with {name}", "Pesan dengan {name}"],
  earlier: ["Show earlier messages", "Tampilkan pesan sebelumnya"],
  empty: ["Nothing has been written here yet.", "Belum ada yang ditulis di sini."],
  you: ["You", "Anda"],
  stateWaiting: ["waiting", "menunggu"],
  stateSent: ["sent", "terkirim"],
  stateRejected: ["not sent: the relay does not take it", "tidak terkirim: relay tidak menerimanya"],
  stateRead: ["read", "dibaca"],
  markUnaccepted: ["identity key not accepted", "kunci identitas belum diterima"],
  markUnlisted: ["device not listed", "perangkat tidak terdaftar"],
  markOutsider: ["not a member of this group", "bukan anggota grup ini"],
  markTimer: ["disappears", "akan hilang"],
  getFile: ["Download {name}", "Unduh {name}"],
  getFileShort: ["Download", "Unduh"],
  fileReady: ["{name} was downloaded.", "{name} sudah diunduh."],
  fileProgress: ["Downloading {name}", "Mengunduh {name}"],
  saidFile: ["{from} sends the file {name}", "{from} mengirim berkas {name}"],
  saidElsewhere: ["New in the conversation with {name}", "Ada yang baru dalam percakapan dengan {name}"],
  noticeLabel: ["Who holds the keys has changed.", "Pemegang kunci berubah."],
  noticeChanged: ["The identity key has changed.", "Kunci identitas berubah."],
  noticeTimer: ["How long messages last has changed.", "Lama pesan tersimpan berubah."],
  noticeGroup: ["The members of the group have changed.", "Anggota grup berubah."],
  noticeNews: ["The devices have changed.", "Daftar perangkat berubah."],
  noticeOther: ["Something has changed here.", "Ada yang berubah di sini."],

  message: ["Message", "Pesan"],
  messageHint: ["Enter sends, Shift+Enter begins a new line.", "Enter mengirim, Shift+Enter membuat baris baru."],
  send: ["Send", "Kirim"],
  attach: ["Attach a file", "Lampirkan berkas"],
  attachShort: ["Attach", "Lampirkan"],
  attaching: ["Sending {name}", "Mengirim {name}"],
  attached: ["{name} was handed over.", "{name} sudah diserahkan."],
  attachAgain: ["{name} was not sent; choose it again to try anew.", "{name} tidak terkirim; pilih lagi untuk mencoba."],
  blockedAsks: ["Nothing is sent here before you have answered a question.", "Tidak ada yang dikirim di sini sebelum Anda menjawab sebuah pertanyaan."],
  blockedDeclined: ["You did not agree. Nothing is sent here.", "Anda tidak setuju. Tidak ada yang dikirim di sini."],
  answer: ["Read the question", "Baca pertanyaannya"],
  thinkAgain: ["Think again", "Pikirkan lagi"],

  consentTitle: ["Before anything is sent to {name}", "Sebelum ada yang dikirim kepada {name}"],
  consentAgain: [
    "You did not agree to who may read this conversation. Do you agree now?",
    "Anda tidak setuju dengan siapa yang dapat membaca percakapan ini. Apakah kini Anda setuju?",
  ],
  consentMeans: [
    "If you agree, what waits is sent, and so is what you write from now on. If you do not, nothing is sent, and you can think again at any time.",
    "Jika Anda setuju, yang menunggu dikirim, begitu pula yang Anda tulis mulai sekarang. Jika tidak, tidak ada yang dikirim, dan Anda dapat berpikir lagi kapan saja.",
  ],
  agree: ["I agree", "Saya setuju"],
  disagree: ["I do not agree", "Saya tidak setuju"],
  later: ["Decide later", "Putuskan nanti"],

  numberTitle: ["Safety number with {name}", "Nomor keamanan dengan {name}"],
  numberText: [
    "If these digits are the same for {name}, nobody is in between. Compare them face to face or in a call, not in this conversation.",
    "Jika angka ini sama di tempat {name}, tidak ada pihak lain di tengah. Bandingkan langsung atau lewat telepon, bukan dalam percakapan ini.",
  ],
  numberQR: ["QR code of the safety number, to scan on the other device", "Kode QR nomor keamanan, untuk dipindai di perangkat satunya"],
  numberCode: ["The same as text, where there is no camera", "Yang sama sebagai teks, bila tidak ada kamera"],
  numberInput: ["What the other side shows: 60 digits, or the code as text", "Yang terlihat di sana: 60 angka, atau kode sebagai teks"],
  compare: ["Compare", "Bandingkan"],
  numberMatch: ["The same on both sides. This conversation is marked as verified.", "Sama di kedua sisi. Percakapan ini ditandai terverifikasi."],

  export: ["Download your data", "Unduh data Anda"],
  exportText: [
    "All your conversations in one encrypted file. It can be read only with the recovery key, which is shown here once.",
    "Semua percakapan Anda dalam satu berkas terenkripsi. Berkas itu hanya dapat dibaca dengan kunci pemulihan, yang ditampilkan di sini satu kali.",
  ],
  exportStart: ["Make the file", "Buat berkasnya"],
  exporting: ["Making the file", "Membuat berkas"],
  exportSave: ["Save {name}", "Simpan {name}"],
  exportKey: ["Recovery key", "Kunci pemulihan"],
  exportKeyText: [
    "Whoever has the file and this key can read everything in it. Write the key down and keep it apart from the file: nobody can bring it back, and it is gone when you close this.",
    "Siapa pun yang punya berkas dan kunci ini dapat membaca semua isinya. Catat kuncinya dan simpan terpisah dari berkas: tidak ada yang dapat memulihkannya, dan kunci ini hilang saat Anda menutup jendela ini.",
  ],
  exportDone: ["The file is ready.", "Berkas sudah siap."],

  move: ["Move to a provider", "Pindah ke penyedia"],
  moveText: [
    "From then on the provider holds the key at your end of every conversation, can read what is written to you, and answers for you. All who write to you are told so, and are asked whether they agree. This device keeps the key of your account and what was said so far; it receives nothing new.",
    "Mulai saat itu penyedia memegang kunci di ujung Anda dalam setiap percakapan, dapat membaca yang ditulis kepada Anda, dan menjawab atas nama Anda. Semua yang menulis kepada Anda diberi tahu dan ditanya apakah mereka setuju. Perangkat ini tetap menyimpan kunci akun Anda dan percakapan sejauh ini, tetapi tidak menerima yang baru.",
  ],
  moveTrust: ["Take a code only from a provider that you have chosen yourself.", "Terima kode hanya dari penyedia yang Anda pilih sendiri."],
  moveCode: ["Code that the provider's device shows", "Kode yang ditampilkan perangkat penyedia"],
  moveParty: ["This is an offer of {name} ({domain}).", "Ini tawaran dari {name} ({domain})."],
  moveStart: ["Move", "Pindah"],
  moved: ["The account has moved.", "Akun sudah pindah."],
  link: ["Link a device of yours", "Tautkan perangkat Anda"],
  linkText: [
    "The new device gets the key of your account and reads all that is written to you from then on. Take a code only from a device that is in your own hands.",
    "Perangkat baru mendapat kunci akun Anda dan membaca semua yang ditulis kepada Anda mulai saat itu. Terima kode hanya dari perangkat yang ada di tangan Anda sendiri.",
  ],
  linkCode: ["Code that the new device shows", "Kode yang ditampilkan perangkat baru"],
  linkStart: ["Link", "Tautkan"],
  linked: ["The device is linked.", "Perangkat sudah ditautkan."],
  codeOffer: ["Offer to the business", "Tawaran untuk bisnis"],
  codeOfferText: [
    "Hand this code to the business. Once it has taken it, this device answers for the business.",
    "Serahkan kode ini kepada bisnis tersebut. Setelah diterima, perangkat ini menjawab untuk bisnis itu.",
  ],
  codeLink: ["Link this device", "Tautkan perangkat ini"],
  codeLinkText: [
    "On a device of yours that is linked already, choose “Link a device of yours” and type this code.",
    "Di perangkat Anda yang sudah ditautkan, pilih “Tautkan perangkat Anda” lalu ketik kode ini.",
  ],
  code: ["Code", "Kode"],

  sees: ["What the relay sees", "Yang dilihat relay"],
  seesText: ["Sizes, times and addresses, and no text.", "Ukuran, waktu, dan alamat, tanpa isi pesan."],
  seesGone: ["The connection to the relay is interrupted.", "Sambungan ke relay terputus."],

  gone: ["The relay cannot be reached. What you write waits here and is sent later.", "Relay tidak dapat dihubungi. Yang Anda tulis menunggu di sini dan dikirim nanti."],
  removed: ["This device was removed from the account by another one. It receives nothing any more.", "Perangkat ini dikeluarkan dari akun oleh perangkat lain. Tidak ada lagi yang diterimanya."],
  retry: ["Try again", "Coba lagi"],
  reload: ["Load the page anew", "Muat ulang halaman"],
  refusedTitle: ["This account is open already", "Akun ini sudah terbuka"],
  refusedText: [
    "{name} is open in another tab of this browser. Two tabs would lose each other's messages, so only one has the account at a time. Close the other tab, or go on there.",
    "{name} sedang terbuka di tab lain peramban ini. Dua tab dapat saling menghilangkan pesan, jadi hanya satu yang memakai akun ini pada satu waktu. Tutup tab itu, atau lanjutkan di sana.",
  ],
  fatalTitle: ["The chat cannot run here", "Obrolan tidak dapat berjalan di sini"],
  "fatal.wasm": ["This browser has no WebAssembly, or it is turned off. The chat needs it.", "Peramban ini tidak punya WebAssembly, atau fitur itu dimatikan. Obrolan ini memerlukannya."],
  "fatal.nostore": [
    "This browser gives the page no place to keep keys and messages (IndexedDB). In a private window it may be turned off: open a usual one.",
    "Peramban ini tidak memberi halaman ini tempat untuk menyimpan kunci dan pesan (IndexedDB). Di jendela privat fitur itu mungkin dimatikan: buka jendela biasa.",
  ],
  "fatal.load": ["The program did not load. Is the relay still running?", "Program tidak berhasil dimuat. Apakah relay masih berjalan?"],
  "fatal.ended": ["The program has stopped. What was sent and received is kept.", "Program berhenti. Yang sudah dikirim dan diterima tetap tersimpan."],
  draftsKept: ["What you had typed and not sent yet", "Yang sudah Anda ketik dan belum dikirim"],
  unreadable: ["Something went wrong.", "Ada yang tidak beres."],
};

let lang = "en";

// speak chooses the language, and says it in all of the page's own words.
export function speak(to) {
  lang = to === "id" ? "id" : "en";
  document.documentElement.lang = lang;
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);
  for (const node of document.querySelectorAll("[data-word-label]")) node.setAttribute("aria-label", say(node.dataset.wordLabel));
}

export const language = () => lang;

export const known = (key) => Object.hasOwn(table, key);

const isolated = (text) => (/[\u0590-\u{10ffff}]/u.test(text) ? `\u2068${text}\u2069` : text);

// say returns the words of a key. What is put in for {name} is visible, and turns
// nothing around it: beyond the letters of Europe, it stands in an isolate of the
// bidirectional algorithm.
export function say(key, values = {}) {
  const words = table[key][lang === "id" ? 1 : 0];
  return words.replace(/\{(\w+)\}/g, (_, name) => isolated(visible(values[name])));
}
