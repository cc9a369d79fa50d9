package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// archiveCipher encrypts the blocks of one file: AES-256-GCM with a key that is derived, by
// HKDF-SHA256, from the caller's key and 32 random bytes of the file, and with the number of the
// block as nonce.
//
// So no nonce is used twice: within a file, because a file is written once, from front to back,
// and each block has its own number, the table the one that no block can have; across files,
// because each has a key of its own, even if the same segment is archived again with the same key.
type archiveCipher struct{ aead cipher.AEAD }

const (
	archiveKeyInfo   = "headrace archive key v1\n"
	archiveCheckInfo = "headrace archive check v1\n"
	tableNonce       = 1<<32 - 1
	gcmTagBytes      = 16
)

// newArchiveCipher derives the file's key, and what tells whether it is the right one.
func newArchiveCipher(key []byte, salt *[32]byte, h *header) (c *archiveCipher, check [16]byte, err error) {
	info := string(h.uuid[:]) + string(le.AppendUint64(nil, h.id))
	fileKey, err := hkdf.Key(sha256.New, key, salt[:], archiveKeyInfo+info, 32)
	if err != nil {
		return nil, check, err
	}
	sum, err := hkdf.Key(sha256.New, key, salt[:], archiveCheckInfo+info, len(check))
	if err != nil {
		return nil, check, err
	}
	copy(check[:], sum)
	block, err := aes.NewCipher(fileKey)
	if err != nil {
		return nil, check, err
	}
	aead, err := cipher.NewGCM(block)
	return &archiveCipher{aead}, check, err
}

func archiveNonce(number uint32) []byte { return le.AppendUint32(make([]byte, 8, 12), number) }

// seal appends plain, encrypted, to dst.
func (c *archiveCipher) seal(dst, plain []byte, number uint32, aad []byte) []byte {
	return c.aead.Seal(dst, archiveNonce(number), plain, aad)
}

// open appends what stored was made of to dst.
func (c *archiveCipher) open(dst, stored []byte, number uint32, aad []byte) ([]byte, error) {
	out, err := c.aead.Open(dst, archiveNonce(number), stored, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: block %d is not authentic", ErrArchive, number)
	}
	return out, nil
}

func sameCheck(a, b *[16]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
