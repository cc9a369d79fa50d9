// Package shred makes the data of one subject erasable from a log that never forgets: a body, or a
// part of one, is encrypted with a key of that subject before it is appended, and destroying the key
// erases it, wherever copies of the journal are.
//
// # Caveats first
//
//   - It erases what was sealed with the key and nothing else. What stays is the record: its
//     sequence, time, type and length, the parts that were not sealed, the key's random id, and
//     that there was a subject.
//   - Every copy of the key has to go. A backup of the key store, a snapshot of its file system or
//     of the virtual machine, and a swapped-out or dumped process hold keys; erasure is done when
//     the last of them is gone. Keep backups of the key store apart from those of the journal, and
//     for no longer than an erasure may take.
//   - What was derived from the plain text is not erased: read models, snapshots of state, other
//     systems that were fed, logs. They need an erasure of their own.
//   - [FileStore] overwrites the key in place and syncs. A solid-state disk, or a file system that
//     copies on write, may keep the old block until it needs the room: there, put the store on
//     storage that erases, or give [FileOptions.Master] and keep that key elsewhere.
//   - Who may read the key store may read everything that is not erased.
//
// # Use
//
//	keys, err := shred.OpenFile(dir, shred.FileOptions{})
//	box := shred.NewBox(keys)
//	body, err := box.Seal(nil, "customer 4711", plain, nil)
//	seq, err := j.Append(journal.Entry{Type: 7, Body: body})
//	...
//	plain, err := box.Open(nil, rec.Body, nil) // ErrErased after keys.Destroy("customer 4711")
//
// The journal's chain, its proofs, its checks and its backups are over the sealed bytes: all of
// them hold before and after. A reader that meets an erased body gets [ErrErased] and goes on, see
// [Box.Reveal]; a key that the store never had is another error, [ErrUnknownKey], because losing a
// key store is no erasure.
//
// # Nonces
//
// A sealed body names a session, 16 random bytes that a Box draws when it first seals for a subject,
// and a number that counts up in it. The session's AES-256-GCM key is derived from the subject's
// key by HKDF-SHA256 with the session as salt; the number is the nonce. So a key and a nonce meet
// once: inside a session because the number is never given out twice, and a session ends long before
// it could; between sessions, of one process or of many, because their keys differ.
package shred
