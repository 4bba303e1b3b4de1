package hosting

// Cheap makes the passphrase of a key cost next to nothing.
func (k *ArchiveKey) Cheap() *ArchiveKey {
	k.factor = 4
	return k
}
